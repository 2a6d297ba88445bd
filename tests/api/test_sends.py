"""Test `POST /notifications/send` and `send-batch`: what is accepted once, and what is rejected without a row."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text

from api.app import create_app
from bootstrap import Container, open_container
from config import Settings
from services.acceptance import Acceptance
from storage.api_keys import upsert_key
from tests.api_tenants import SCOPES, bearer, open_in_process_tenant

pytestmark = [pytest.mark.postgres]

SEND, BATCH = "/notifications/send", "/notifications/send-batch"
NEEDS_NAME = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
GOOD: dict[str, Any] = {"notification_type": "news", "recipient_id": "ada", "payload": {"name": "Ada"}}
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class SendClient:
    """A client of one tenant that has a type `news` (email, then SMS) and a recipient `ada`."""

    container: Container
    tenant: UUID
    http: httpx2.AsyncClient

    async def rows(self) -> int:
        async with self.container.database.transaction() as session:
            counted = await session.execute(
                text("SELECT count(*) FROM notification WHERE tenant = :tenant"), {"tenant": self.tenant}
            )
            return int(counted.scalar_one())

    async def send(self, body: Any = None, *, key: str | None = None) -> httpx2.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.http.post(SEND, json=GOOD if body is None else body, headers=headers)

    async def raw(self, content: bytes, **headers: str) -> httpx2.Response:
        return await self.http.post(SEND, content=content, headers=JSON | headers)

    async def batch(self, *items: Any, key: str | None = None) -> list[dict[str, Any]]:
        headers = {} if key is None else {"Idempotency-Key": key}
        response = await self.http.post(BATCH, json={"items": items}, headers=headers)
        assert response.status_code == 202, response.text
        responses: list[dict[str, Any]] = response.json()["items"]
        assert [item["index"] for item in responses] == list(range(len(items)))
        return responses


@asynccontextmanager
async def open_send_client(container: Container, *scopes: str) -> AsyncIterator[SendClient]:
    async with open_in_process_tenant(container) as api_tenant:
        template = {"body": "Hi {{ name }}", "subject_template": "Hi", "variables_schema": NEEDS_NAME}
        await api_tenant.put_type("news", ["email"], ["sms"], template=template, priority=4)
        await api_tenant.put_recipient(email="ada@example.com")
        async with container.database.transaction() as session:
            _, key = await upsert_key(session, api_tenant.tenant, "scoped", scopes or SCOPES)
        api_tenant.http.headers.update(bearer(key))
        yield SendClient(container, api_tenant.tenant, api_tenant.http)


async def transactions(send_client: SendClient) -> int:
    """Return how many transactions inserted the rows of this tenant."""
    async with send_client.container.database.transaction() as session:
        query = text("SELECT count(DISTINCT xmin::text) FROM notification WHERE tenant = :tenant")
        return int((await session.execute(query, {"tenant": send_client.tenant})).scalar_one())


@pytest.fixture
async def send_client(container: Container) -> AsyncIterator[SendClient]:
    async with open_send_client(container) as send_client:
        yield send_client


def refused(response: httpx2.Response) -> dict[str, str]:
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return {issue.get("pointer", issue.get("parameter")): issue["detail"] for issue in response.json()["errors"]}


# Accepting


async def test_concurrent_sends_share_transactions_and_fail_one_by_one(send_client: SendClient) -> None:
    unknown = GOOD | {"recipient_id": "unknown"}
    responses = await asyncio.gather(*(send_client.send(unknown if number % 10 == 0 else GOOD) for number in range(40)))
    assert [response.status_code for response in responses] == [
        422 if number % 10 == 0 else 202 for number in range(40)
    ]
    assert await send_client.rows() == 36
    assert await transactions(send_client) < 18


async def test_concurrent_profiles_of_one_recipient_are_all_kept(send_client: SendClient) -> None:
    bodies = [
        {"notification_type": "news", "payload": {"name": "Bob"}, "recipient": {"recipient_id": "bob", **given}}
        for given in ({"email": "bob@example.com"}, {"phone": "+4915112345678"}, {"locale": "de"})
    ]
    responses = await asyncio.gather(*(send_client.send(body) for body in bodies))
    assert [response.status_code for response in responses] == [202] * 3
    profile = (await send_client.http.get("/recipients/bob")).json()
    assert (profile["email"], profile["phone"], profile["locale"]) == ("bob@example.com", "+4915112345678", "de")


async def test_a_send_returns_the_row_and_its_location(send_client: SendClient) -> None:
    response = await send_client.send()
    body = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"/api/v1/notifications/{body['id']}"
    assert UUID(body["id"]).version == 7
    plain = {name: body[name] for name in ("status", "notification_type", "recipient_id", "priority", "send_at")}
    assert plain == {
        "status": "PENDING",
        "notification_type": "news",
        "recipient_id": "ada",
        "priority": 4,
        "send_at": None,
    }
    assert body["created_at"].endswith("Z")
    shown = await send_client.http.get(f"http://test{response.headers['location']}")
    assert (shown.status_code, shown.json()["status"]) == (200, "PENDING")


async def test_times_are_accepted_in_any_zone_and_returned_in_utc(send_client: SendClient) -> None:
    response = (await send_client.send({**GOOD, "send_at": "2031-01-31T10:00:00+01:00", "expires_in": "1h"})).json()
    assert (response["send_at"], response["expires_at"]) == ("2031-01-31T09:00:00Z", "2031-01-31T10:00:00Z")


EXPIRED = {
    "by the request": ({"send_at": "2020-01-31T10:00:00Z", "expires_in": "1h"}, "expires_in is 1h"),
    "by the type": ({"send_at": "2020-01-31T10:00:00Z", "notification_type": "brief"}, "the type's expires_in is 30m"),
}


@pytest.mark.parametrize(("asked", "limit"), EXPIRED.values(), ids=EXPIRED)
async def test_a_send_that_has_expired_already_is_refused(send_client: SendClient, asked: Any, limit: str) -> None:
    type_body = {"route": [{"channels": ["email"]}], "templates": {"email": "news"}, "expires_in": "30m"}
    assert (await send_client.http.put("/notification-types/brief", json=type_body)).status_code == 201
    body = {**GOOD, **asked}
    detail = refused(await send_client.send(body, key="k"))["/send_at"]
    assert f"in the past, and {limit}: already expired" in detail
    [item, fine] = await send_client.batch(body, GOOD)
    assert (item["status"], item["errors"][0]["pointer"], fine["status"]) == (422, "/send_at", 202)
    assert await send_client.rows() == 1


async def test_a_send_in_the_past_that_has_time_left_is_accepted(send_client: SendClient) -> None:
    for asked in ({}, {"expires_in": "36500d"}):
        assert (await send_client.send({**GOOD, "send_at": "2020-01-31T10:00:00Z", **asked})).status_code == 202


# Idempotency


async def test_fifty_identical_requests_at_once_are_one_notification(send_client: SendClient) -> None:
    responses = await asyncio.gather(*(send_client.send(key="same") for _ in range(50)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.text for response in responses}) == 1
    replayed = [response.headers.get("idempotent-replayed") for response in responses]
    assert (replayed.count("true"), replayed.count(None)) == (49, 1)
    assert len({response.headers["location"] for response in responses}) == 1
    assert await send_client.rows() == 1


async def test_a_key_stands_for_one_body(send_client: SendClient) -> None:
    first = await send_client.send(key="k")
    other = await send_client.send({**GOOD, "payload": {"name": "Grace"}}, key="k")
    assert "idempotency key" in refused(other)[""]
    assert (await send_client.send(key="k")).json() == first.json()
    assert await send_client.rows() == 1


async def test_different_bodies_at_once_with_one_key_are_one_notification(send_client: SendClient) -> None:
    responses = await asyncio.gather(
        *(send_client.send({**GOOD, "payload": {"name": str(number)}}, key="k") for number in range(20))
    )
    assert sorted(response.status_code for response in responses) == [202] + [422] * 19
    assert await send_client.rows() == 1


async def test_the_order_of_members_and_white_space_do_not_make_another_body(send_client: SendClient) -> None:
    first = await send_client.raw(json.dumps(GOOD).encode(), **{"Idempotency-Key": "k"})
    mirrored = json.dumps(dict(reversed(GOOD.items())), indent=4).encode()
    again = await send_client.raw(mirrored, **{"Idempotency-Key": "k"})
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()


def hide_from_next_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the key from the next lookup, as if a concurrent request inserted it before the next INSERT."""
    held, seen = Acceptance._find_key_holders, list[list[str]]()

    async def too_early(self: Acceptance, tenant: UUID, keys: list[str]) -> dict[str, Any]:
        seen.append(keys)
        return {} if len(seen) == 1 else await held(self, tenant, keys)

    monkeypatch.setattr(Acceptance, "_find_key_holders", too_early)


async def test_a_concurrent_use_of_a_key_is_a_repetition(
    send_client: SendClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (await send_client.send(key="k")).json()
    hide_from_next_look_up(monkeypatch)
    again = await send_client.send(key="k")
    assert (again.status_code, again.json()) == (202, first)
    assert again.headers["idempotent-replayed"] == "true"
    assert await send_client.rows() == 1


async def test_a_concurrent_use_of_a_key_with_another_body_is_refused(
    send_client: SendClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send_client.send(key="k")
    hide_from_next_look_up(monkeypatch)
    assert (await send_client.send({**GOOD, "payload": {"name": "Bo"}}, key="k")).status_code == 422
    assert await send_client.rows() == 1


async def test_concurrent_uses_of_keys_of_a_batch_are_repetitions(
    send_client: SendClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await send_client.batch({**GOOD, "idempotency_key": "a"})
    hide_from_next_look_up(monkeypatch)
    again = await send_client.batch({**GOOD, "idempotency_key": "b"}, {**GOOD, "idempotency_key": "a"})
    assert again[1]["id"] == first[0]["id"]
    assert again[0]["id"] != first[0]["id"]
    assert await send_client.rows() == 2


async def test_without_a_key_each_request_is_a_notification(send_client: SendClient) -> None:
    assert (await send_client.send()).json()["id"] != (await send_client.send()).json()["id"]
    assert await send_client.rows() == 2


async def test_a_replay_survives_the_deletion_of_the_type(send_client: SendClient) -> None:
    first = await send_client.send(key="k")
    assert (await send_client.http.delete("/notification-types/news")).status_code < 300
    assert (await send_client.send(key="new")).status_code == 422
    again = await send_client.send(key="k")
    assert (again.status_code, again.json()) == (202, first.json())


async def test_a_refused_request_does_not_use_its_key(send_client: SendClient) -> None:
    assert (await send_client.send({**GOOD, "payload": {}}, key="k")).status_code == 422
    assert (await send_client.send(key="k")).status_code == 202


async def test_a_key_may_have_255_characters(send_client: SendClient) -> None:
    assert (await send_client.send(key="k" * 255)).status_code == 202
    assert (await send_client.send(key="k" * 255)).headers["idempotent-replayed"] == "true"


async def test_a_key_is_free_again_after_its_window(send_client: SendClient) -> None:
    first = await send_client.send(key="k")
    async with send_client.container.database.transaction() as session:
        aged = text("UPDATE notification SET created_at = created_at - interval '25 hours' WHERE tenant = :tenant")
        await session.execute(aged, {"tenant": send_client.tenant})
    second = await send_client.send({**GOOD, "payload": {"name": "Grace"}}, key="k")
    assert second.status_code == 202
    assert second.json()["id"] != first.json()["id"]


# Rejected sends


def changed_send(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (GOOD | changes).items() if value is not ...}


INLINE = {"recipient_id": "grace", "email": "grace@example.com"}
INVALID = {
    "unknown type": (changed_send(notification_type="nothing"), "/notification_type"),
    "no type": (changed_send(notification_type=...), "/notification_type"),
    "missing variable": (changed_send(payload={}), "/payload/name"),
    "variable of another kind": (changed_send(payload={"name": 7}), "/payload/name"),
    "payload is a list": (changed_send(payload=[]), "/payload"),
    "unknown recipient": (changed_send(recipient_id="unknown"), "/recipient_id"),
    "bad e-mail": (changed_send(recipient_id=..., recipient={**INLINE, "email": "no address"}), "/recipient/email"),
    "bad phone": (changed_send(recipient_id=..., recipient={**INLINE, "phone": "0123"}), "/recipient/phone"),
    "both recipients": (changed_send(recipient=INLINE), ""),
    "neither recipient": (changed_send(recipient_id=...), ""),
    "channel outside the route": (changed_send(channels=["sms", "push"]), "/channels/1"),
    "no such channel": (changed_send(channels=["fax"]), "/channels/0"),
    "no channels": (changed_send(channels=[]), "/channels"),
    "priority 0": (changed_send(priority=0), "/priority"),
    "priority 6": (changed_send(priority=6), "/priority"),
    "priority as text": (changed_send(priority="3"), "/priority"),
    "priority true": (changed_send(priority=True), "/priority"),
    "priority 3.5": (changed_send(priority=3.5), "/priority"),
    "time without a zone": (changed_send(send_at="2031-01-31T10:00:00"), "/send_at"),
    "a time that does not exist": (changed_send(send_at="2031-02-30T10:00:00Z"), "/send_at"),
    "no duration": (changed_send(expires_in="soon"), "/expires_in"),
    "an empty tag": (changed_send(tags=[""]), "/tags/0"),
    "unknown field": (changed_send(surprise=1), "/surprise"),
}


@pytest.mark.parametrize(("body", "pointer"), INVALID.values(), ids=INVALID)
async def test_an_invalid_field_is_named_and_no_row_is_stored(send_client: SendClient, body: Any, pointer: str) -> None:
    assert set(refused(await send_client.send(body, key="k"))) == {pointer}
    assert await send_client.rows() == 0


async def test_everything_that_is_wrong_is_named_at_once(send_client: SendClient) -> None:
    wrong = changed_send(channels=["push"], payload={})
    assert set(refused(await send_client.send(wrong))) == {"/channels/0"}, (
        "the payload is checked for channels that count"
    )
    wrong = changed_send(channels=["push", "sms"], payload={})
    assert set(refused(await send_client.send(wrong))) == {"/channels/0", "/payload/name"}


async def test_a_refusal_does_not_repeat_the_request(send_client: SendClient) -> None:
    canary = "canary-4711"
    for body in (
        changed_send(recipient_id=..., recipient={"recipient_id": "x", "email": canary, "phone": canary}),
        changed_send(payload={"name": [canary]}, channels=[canary]),
        changed_send(recipient_id=canary),
        changed_send(notification_type=canary),
    ):
        response = await send_client.send(body)
        assert response.status_code == 422
        assert canary not in response.text


DEEP = json.dumps(GOOD).replace('"Ada"', "[" * 63 + "]" * 63)
UNREADABLE = {
    "not UTF-8": json.dumps(GOOD).encode("utf-16"),
    "Latin-1": b'{"notification_type": "\xe4"}',
    "with a BOM": json.dumps(GOOD).encode("utf-8-sig"),
    "NaN": b'{"notification_type": "news", "recipient_id": "ada", "payload": {"name": NaN}}',
    "Infinity": b'{"notification_type": "news", "recipient_id": "ada", "payload": {"name": -Infinity}}',
    "NUL": b'{"notification_type": "news", "recipient_id": "ada", "payload": {"name": "\\u0000"}}',
    "half a surrogate pair": b'{"notification_type": "news", "recipient_id": "ada", "payload": {"name": "\\ud800"}}',
    "a key twice": b'{"notification_type": "news", "recipient_id": "ada", "recipient_id": "bob"}',
    "too deep": DEEP.encode(),
    "rubbish behind": json.dumps(GOOD).encode() + b" x",
    "cut off": json.dumps(GOOD).encode()[:-1],
    "huge number": b'{"notification_type": "news", "recipient_id": "ada", "payload": {"name": 1e999}}',
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
async def test_unreadable_json_is_400_and_leaves_no_row(send_client: SendClient, content: bytes) -> None:
    response = await send_client.raw(content)
    assert (response.status_code, response.json()["type"]) == (400, "urn:tocsin:problem:unreadable")
    assert await send_client.rows() == 0


async def test_sixty_four_levels_are_readable(send_client: SendClient) -> None:
    assert (await send_client.raw(DEEP.replace("[" * 63 + "]" * 63, "[" * 62 + "]" * 62).encode())).status_code == 422
    allowed = json.dumps(changed_send(payload={"name": "Ada", "deep": "DEEP"})).replace('"DEEP"', "[" * 62 + "]" * 62)
    assert (await send_client.raw(allowed.encode())).status_code == 202


async def test_a_body_over_256_kib_is_413_and_leaves_no_row(send_client: SendClient) -> None:
    fits = changed_send(payload={"name": "Ada", "more": "x" * (255 * 1024)})
    assert (await send_client.send(fits)).status_code == 202
    too_large = changed_send(payload={"name": "Ada", "more": "x" * (256 * 1024)})
    assert (await send_client.send(too_large)).status_code == 413
    assert await send_client.rows() == 1


BAD_KEYS = ["k" * 256, "", "ключ", "a\x7fb", "a\tb"]


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_a_bad_idempotency_key_is_named_and_leaves_no_row(send_client: SendClient, key: str) -> None:
    response = await send_client.http.post(SEND, json=GOOD, headers=[(b"Idempotency-Key", key.encode())])
    assert set(refused(response)) == {"Idempotency-Key"}
    assert await send_client.rows() == 0


async def test_the_key_is_checked_before_the_body_is_read(send_client: SendClient) -> None:
    unknown_key = {"Authorization": "Bearer unknown"}
    assert (await send_client.raw(b"{", **unknown_key)).status_code == 401
    assert (await send_client.raw(b"{", **{"Idempotency-Key": ""})).status_code == 400
    assert (await send_client.raw(b"{}")).status_code == 422
    assert (await send_client.raw(b"{" * 300_000, **unknown_key)).status_code == 401
    assert await send_client.rows() == 0


async def test_a_send_without_postgres_gets_503_with_retry_after() -> None:
    settings = Settings(
        env="dev",
        database_url="postgresql+asyncpg://nouser@127.0.0.1:1/nothing",
        temporal_address="127.0.0.1:1",
        _env_file=None,
    )
    async with open_container(settings) as container:
        transport = httpx2.ASGITransport(app=create_app(container))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test/api/v1") as http:
            for path, body in ((SEND, GOOD), (BATCH, {"items": [GOOD]})):
                response = await http.post(path, json=body, headers={"Authorization": "Bearer anything"})
                assert response.status_code == 503
                assert int(response.headers["retry-after"]) >= 1
                assert response.json()["type"] == "urn:tocsin:problem:unavailable"


# Batches


async def test_a_bad_item_does_not_keep_the_others_from_being_accepted(send_client: SendClient) -> None:
    responses = await send_client.batch(
        GOOD, changed_send(priority=9), changed_send(payload={}), changed_send(recipient_id="unknown"), GOOD
    )
    assert [response["status"] for response in responses] == [202, 422, 422, 422, 202]
    assert [[issue["pointer"] for issue in response["errors"] or []] for response in responses] == [
        [],
        ["/priority"],
        ["/payload/name"],
        ["/recipient_id"],
        [],
    ]
    assert len({response["id"] for response in responses if response["id"]}) == 2
    assert await send_client.rows() == 2


async def test_a_batch_item_may_have_its_own_key(send_client: SendClient) -> None:
    alone = await send_client.send(key="k")
    [same, other] = await send_client.batch({**GOOD, "idempotency_key": "k"}, {**GOOD, "idempotency_key": "l"})
    assert (same["id"], same["replayed"]) == (alone.json()["id"], True)
    assert (other["id"] != same["id"], other["replayed"]) == (True, False)
    [clash] = await send_client.batch({**changed_send(priority=1), "idempotency_key": "l"})
    assert (clash["status"], clash["id"]) == (422, None)
    assert await send_client.rows() == 2


@pytest.mark.parametrize("key", [*BAD_KEYS, "a\n", 7])
async def test_a_bad_key_of_an_item_is_refused_as_in_the_header(send_client: SendClient, key: Any) -> None:
    bad, good = await send_client.batch({**GOOD, "idempotency_key": key}, {**GOOD, "idempotency_key": "~ " * 127 + "k"})
    assert [response["status"] for response in (bad, good)] == [422, 202]
    assert [issue["pointer"] for issue in bad["errors"]] == ["/idempotency_key"]
    assert await send_client.rows() == 1


async def test_the_key_of_a_batch_counts_for_each_item_by_its_place(send_client: SendClient) -> None:
    own = {**GOOD, "idempotency_key": "own"}
    first = await send_client.batch(GOOD, own, GOOD, key="b")
    assert (await send_client.send(key="b:0")).json()["id"] == first[0]["id"]
    assert (await send_client.send(key="own")).json()["id"] == first[1]["id"]
    assert (await send_client.send(key="b:2")).json()["id"] == first[2]["id"]
    assert await send_client.rows() == 3


async def test_a_repeated_batch_is_replayed(send_client: SendClient) -> None:
    items = [changed_send(payload={"name": str(number)}) for number in range(20)]
    first, again = await send_client.batch(*items, key="b"), await send_client.batch(*items, key="b")
    assert [response["id"] for response in again] == [response["id"] for response in first]
    assert ({response["replayed"] for response in first}, {response["replayed"] for response in again}) == (
        {False},
        {True},
    )
    assert await send_client.rows() == 20


async def test_batches_at_once_with_the_same_keys_make_each_notification_once(send_client: SendClient) -> None:
    items = [changed_send(payload={"name": str(number)}) for number in range(20)]
    batches = await asyncio.gather(*(send_client.batch(*items, key="b") for _ in range(8)))
    assert len({response["id"] for responses in batches for response in responses}) == 20
    assert sum(not response["replayed"] for responses in batches for response in responses) == 20
    assert await send_client.rows() == 20


async def test_a_key_that_a_batch_names_twice_is_one_notification(send_client: SendClient) -> None:
    keyed = {**GOOD, "idempotency_key": "k"}
    first, repeated, other = await send_client.batch(keyed, keyed, {**keyed, "priority": 1})
    assert (first["status"], repeated["status"], repeated["id"]) == (202, 202, first["id"])
    assert [first["replayed"], repeated["replayed"]] == [False, True]
    assert (other["status"], other["errors"][0]["pointer"]) == (422, "")
    assert await send_client.rows() == 1


async def test_an_item_may_create_the_recipient_of_the_next_one(send_client: SendClient) -> None:
    recipient = {"recipient_id": "grace", "email": "grace@example.com"}
    responses = await send_client.batch(
        changed_send(recipient_id=..., recipient=recipient), changed_send(recipient_id="grace")
    )
    assert [response["status"] for response in responses] == [202, 202]


async def test_a_batch_takes_a_thousand_items_and_no_more(send_client: SendClient) -> None:
    responses = await send_client.batch(*[GOOD] * 1_000)
    assert {item["status"] for item in responses} == {202}
    assert await send_client.rows() == 1_000
    response = await send_client.http.post(BATCH, json={"items": [GOOD] * 1_001})
    assert set(refused(response)) == {"/items"}
    assert set(refused(await send_client.http.post(BATCH, json={"items": []}))) == {"/items"}
    assert await send_client.rows() == 1_000


async def test_an_item_over_256_kib_is_refused_alone(send_client: SendClient) -> None:
    too_large = changed_send(payload={"name": "Ada", "more": "x" * (256 * 1024)})
    responses = await send_client.batch(GOOD, too_large)
    assert [response["status"] for response in responses] == [202, 413]
    assert await send_client.rows() == 1


async def test_a_batch_over_8_mib_is_413(send_client: SendClient) -> None:
    large = changed_send(payload={"name": "Ada", "more": "x" * (200 * 1024)})
    assert (await send_client.http.post(BATCH, json={"items": [large] * 45})).status_code == 413
    assert await send_client.rows() == 0
