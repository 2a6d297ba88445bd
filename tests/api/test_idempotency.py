"""Test idempotency keys: a repeated send is accepted once, also at the same time."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from services.acceptance import Acceptance
from tests.api.news_sends import BAD_KEYS, GOOD, SEND, post_bytes
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres


async def test_fifty_identical_requests_at_once_are_one_notification(news_tenant: ApiTenant) -> None:
    responses = await asyncio.gather(*(news_tenant.post_send(GOOD, key="same") for _ in range(50)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.text for response in responses}) == 1
    replayed = [response.headers.get("idempotent-replayed") for response in responses]
    assert (replayed.count("true"), replayed.count(None)) == (49, 1)
    assert len({response.headers["location"] for response in responses}) == 1
    assert await news_tenant.count_notifications() == 1


async def test_a_key_stands_for_one_body(news_tenant: ApiTenant) -> None:
    first = await news_tenant.post_send(GOOD, key="k")
    other = await news_tenant.post_send({**GOOD, "payload": {"name": "Grace"}}, key="k")
    assert "idempotency key" in validation_errors(other)[""]
    assert (await news_tenant.post_send(GOOD, key="k")).json() == first.json()
    assert await news_tenant.count_notifications() == 1


async def test_different_bodies_at_once_with_one_key_are_one_notification(news_tenant: ApiTenant) -> None:
    responses = await asyncio.gather(
        *(news_tenant.post_send({**GOOD, "payload": {"name": str(number)}}, key="k") for number in range(20))
    )
    assert sorted(response.status_code for response in responses) == [202] + [422] * 19
    assert await news_tenant.count_notifications() == 1


async def test_the_order_of_members_and_white_space_do_not_make_another_body(news_tenant: ApiTenant) -> None:
    first = await post_bytes(news_tenant, json.dumps(GOOD).encode(), **{"Idempotency-Key": "k"})
    mirrored = json.dumps(dict(reversed(GOOD.items())), indent=4).encode()
    again = await post_bytes(news_tenant, mirrored, **{"Idempotency-Key": "k"})
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
    news_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (await news_tenant.post_send(GOOD, key="k")).json()
    hide_from_next_look_up(monkeypatch)
    again = await news_tenant.post_send(GOOD, key="k")
    assert (again.status_code, again.json()) == (202, first)
    assert again.headers["idempotent-replayed"] == "true"
    assert await news_tenant.count_notifications() == 1


async def test_a_concurrent_use_of_a_key_with_another_body_is_refused(
    news_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await news_tenant.post_send(GOOD, key="k")
    hide_from_next_look_up(monkeypatch)
    assert (await news_tenant.post_send({**GOOD, "payload": {"name": "Bo"}}, key="k")).status_code == 422
    assert await news_tenant.count_notifications() == 1


async def test_concurrent_uses_of_keys_of_a_batch_are_repetitions(
    news_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await news_tenant.send_batch({**GOOD, "idempotency_key": "a"})
    hide_from_next_look_up(monkeypatch)
    again = await news_tenant.send_batch({**GOOD, "idempotency_key": "b"}, {**GOOD, "idempotency_key": "a"})
    assert again[1]["id"] == first[0]["id"]
    assert again[0]["id"] != first[0]["id"]
    assert await news_tenant.count_notifications() == 2


async def test_without_a_key_each_request_is_a_notification(news_tenant: ApiTenant) -> None:
    assert (await news_tenant.post_send(GOOD)).json()["id"] != (await news_tenant.post_send(GOOD)).json()["id"]
    assert await news_tenant.count_notifications() == 2


async def test_a_replay_survives_the_deletion_of_the_type(news_tenant: ApiTenant) -> None:
    first = await news_tenant.post_send(GOOD, key="k")
    assert (await news_tenant.http.delete("/notification-types/news")).status_code < 300
    assert (await news_tenant.post_send(GOOD, key="new")).status_code == 422
    again = await news_tenant.post_send(GOOD, key="k")
    assert (again.status_code, again.json()) == (202, first.json())


async def test_a_refused_request_does_not_use_its_key(news_tenant: ApiTenant) -> None:
    assert (await news_tenant.post_send({**GOOD, "payload": {}}, key="k")).status_code == 422
    assert (await news_tenant.post_send(GOOD, key="k")).status_code == 202


async def test_a_key_may_have_255_characters(news_tenant: ApiTenant) -> None:
    assert (await news_tenant.post_send(GOOD, key="k" * 255)).status_code == 202
    assert (await news_tenant.post_send(GOOD, key="k" * 255)).headers["idempotent-replayed"] == "true"


async def test_a_key_is_free_again_after_its_window(news_tenant: ApiTenant) -> None:
    first = await news_tenant.post_send(GOOD, key="k")
    await news_tenant.query(
        "UPDATE notification SET created_at = created_at - interval '25 hours' WHERE tenant = :tenant"
    )
    second = await news_tenant.post_send({**GOOD, "payload": {"name": "Grace"}}, key="k")
    assert second.status_code == 202
    assert second.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_a_bad_idempotency_key_is_named_and_leaves_no_row(news_tenant: ApiTenant, key: str) -> None:
    response = await news_tenant.http.post(SEND, json=GOOD, headers=[(b"Idempotency-Key", key.encode())])
    assert set(validation_errors(response)) == {"Idempotency-Key"}
    assert await news_tenant.count_notifications() == 0
