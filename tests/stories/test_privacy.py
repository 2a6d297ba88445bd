"""Personal data stays in Postgres: nothing of a person is in Temporal's store or in our log, however a send ends."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import structlog
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from temporalio.client import WorkflowExecutionDescription

from activities import resolution
from config import Settings
from domain.names import TENANT_ATTRIBUTE, tick_schedule
from logs import configure_logging
from tests.engine import ApiTenant, Engine, open_api_tenant
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

CANARIES = {
    "e-mail": "canary-mail",
    "phone": "44770090",
    "name": "Canary-Name",
    "payload": "canary-payload",
    "token": "canary-token",
    "webhook": "canary-hook",
    "tag": "canary-tag",
    "recipient id": "canary-person",
    "part of a digest": "canary-part",
}
CHANNELS = ("email", "sms", "push", "webhook", "in_app")
PREFIXES = {"notification", "digest", "tick"}
DIGITS = {"good": "0100", "refuse": "0001", "error": "0002", "open": "0009"}


@contextmanager
def product_log() -> Iterator[io.StringIO]:
    """What the processes of the product would print, as configured by bootstrap, down to the smallest detail."""
    root, printed, stdout = logging.getLogger(), io.StringIO(), sys.stdout
    handlers, level = root.handlers[:], root.level
    sys.stdout = printed
    try:
        configure_logging(Settings(env="dev", log_level="debug", _env_file=None))
    finally:
        sys.stdout = stdout
    try:
        yield printed
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


def found_in(text: str | bytes) -> set[str]:
    raw = text.encode() if isinstance(text, str) else text
    return {name for name, canary in CANARIES.items() if canary.encode().lower() in raw.lower()}


def written(message: Message) -> bytes:
    """Both ways: protobuf's bytes hold payloads as they are, JSON has the names of everything around them."""
    return message.SerializeToString() + MessageToJson(message).encode()


CONTENT: dict[str, Any] = {
    "payload": {"name": CANARIES["name"], "code": CANARIES["payload"], "part": CANARIES["part of a digest"]},
    "tags": [CANARIES["tag"]],
}


async def sent_in_every_way(api_tenant: ApiTenant) -> list[str]:
    """Every channel; delivered, refused, retrying and then cancelled, with a template error, expired, a bug of ours."""
    for channel in CHANNELS:
        await api_tenant.put_type(f"by-{channel}", [channel], give_up_after="2s")
        await api_tenant.add_template(f"bad-{channel}", channel, "{{ code | round }}{{ 1 // 0 }}")
        route = {"route": [{"channels": [channel]}], "templates": {channel: f"bad-{channel}"}}
        await api_tenant.call("PUT", f"/notification-types/bad-{channel}", route)
    for word in DIGITS:
        await _person(api_tenant, word)
    kinds = [f"{how}-{channel}" for channel in CHANNELS for how in ("by", "bad")]
    asks = [api_tenant.send(kind, person(word), **CONTENT) for kind in kinds for word in DIGITS]
    asks.append(api_tenant.send("by-email", person("error"), expires_in="1s", **CONTENT))
    return list(await asyncio.gather(*asks))


COLLECTED: dict[str, dict[str, str]] = {
    "by-window": {"window": "2s", "key": "part"},
    "by-calendar": {"schedule": "0 9 * * *", "key": "part"},
}
THROTTLED = {"by-drop": {"limit": 1, "per": "1h"}, "by-defer": {"limit": 1, "per": "12s", "on_exceed": "defer"}}


async def sent_by_the_clock(api_tenant: ApiTenant) -> list[str]:
    """Collected, dropped or deferred by a throttle, and held in quiet hours."""
    for key, rule in COLLECTED.items():
        await api_tenant.add_template(
            key, "email", "{{ total }}, {{ items[0].code }}", subject_template="{{ items[0].name }}"
        )
        route = {"route": [{"channels": ["email"]}], "templates": {"email": key}}
        await api_tenant.call("PUT", f"/notification-types/{key}", {**route, "digest": rule})
    for key, throttle in THROTTLED.items():
        await api_tenant.put_type(key, ["email"], throttle=throttle)
    ids = [await api_tenant.send(key, person("good"), **CONTENT) for key in (*COLLECTED, *THROTTLED, *THROTTLED)]
    ids.append(await sent_in_quiet_hours(api_tenant))
    await eventually(lambda: api_tenant.notification(ids[1]), lambda shown: shown["digest"] is not None)
    await ticks(api_tenant, "digest", "closes_at", "by-calendar")
    collected = [await api_tenant.wait_for_end(id, "DIGESTED") for id in ids[: len(COLLECTED)]]
    return ids + [str(shown["digest"]["notification_id"]) for shown in collected]


async def sent_in_quiet_hours(api_tenant: ApiTenant) -> str:
    await _person(api_tenant, "quiet")
    chosen = f"/recipients/{person('quiet')}/preferences"
    await api_tenant.call("PUT", chosen, {"quiet_hours": {"start": "00:00", "end": "23:59"}})
    id = await api_tenant.send("by-email", person("quiet"), **CONTENT)
    await eventually(lambda: api_tenant.notification(id), lambda shown: shown["waits_for"] == "quiet_hours")
    await api_tenant.call("PUT", chosen, {"quiet_hours": None})
    return id


async def sent_by_schedules(api_tenant: ApiTenant) -> list[str]:
    """To a list, and to each of a topic at their own time."""
    await api_tenant.put_type("recurring", ["email"])
    await api_tenant.call("PUT", f"/topics/weekly/subscribers/{person('good')}")
    audiences: list[dict[str, Any]] = [
        {"timezone": "UTC", "recipients": [person("good"), person("refuse")]},
        {"timezone": "recipient", "topic": "weekly"},
    ]
    for number, audience in enumerate(audiences):
        body = {"notification_type": "recurring", "cron": "0 9 * * *", **CONTENT, **audience}
        await api_tenant.call("PUT", f"/schedules/schedule-{number}", body)
    await ticks(api_tenant, "schedule_occurrence", "due_at", "recurring")
    sent = "/notifications?notification_type=recurring"
    page = await eventually(lambda: api_tenant.call("GET", sent), lambda page: len(page["items"]) == 3)
    return [str(item["id"]) for item in page["items"]]


async def ticks(api_tenant: ApiTenant, table: str, due: str, kind: str) -> None:
    await api_tenant.engine.sql(
        f"UPDATE {table} SET {due} = now() - interval '1 minute' WHERE tenant = :id", id=api_tenant.tenant
    )
    await api_tenant.trigger_tick(kind)


def person(word: str) -> str:
    return f"{CANARIES['recipient id']}-{word}"


async def _person(api_tenant: ApiTenant, word: str) -> None:
    await api_tenant.put_recipient(
        person(word),
        email=f"{CANARIES['e-mail']}+{word}@example.com",
        phone=f"+{CANARIES['phone']}{DIGITS.get(word, DIGITS['good'])}",
        webhook_url=f"https://hooks.example.com/{CANARIES['webhook']}/{word}",
        attributes={"nickname": CANARIES["name"]},
        locale="en",
    )
    await api_tenant.put_device(person(word), "phone", f"{CANARIES['token']}-{word}")


async def kept_by_temporal(engine: Engine, workflow_id: str) -> bytes:
    """History with its payloads, summaries and failures; search attributes, memo and current details."""
    history = await engine.workflow_history(workflow_id)
    handle = await engine.wait_for_workflow(workflow_id)
    description: WorkflowExecutionDescription = await handle.describe()
    details = await handle.query("__temporal_workflow_metadata")
    return b"".join(
        [
            *(written(event) for event in history.events),
            written(description.raw_description),
            str(details).encode(),
            history.to_json().encode(),
        ]
    )


async def workflows_of(engine: Engine, tenant_key: str) -> set[str]:
    return {each.id async for each in engine.temporal.list_workflows(f"{TENANT_ATTRIBUTE} = '{tenant_key}'")}


def prefixes(workflow_ids: set[str]) -> set[str]:
    return {id.partition("-")[0] for id in workflow_ids}


async def schedule_of(engine: Engine, id: str) -> bytes:
    return written((await engine.temporal.get_schedule_handle(id).describe()).raw_description)


@dataclass(frozen=True)
class PrivateSends:
    ends: dict[str, dict[str, Any]]
    log: str
    tenant: UUID
    tenant_key: str


@pytest.fixture(scope="module")
async def sent(engine: Engine) -> PrivateSends:
    async with open_api_tenant(engine) as api_tenant:
        with product_log() as log:
            ids = await sent_in_every_way(api_tenant)
            ids += await sent_by_the_clock(api_tenant) + await sent_by_schedules(api_tenant)
            ends = {id: await api_tenant.wait_until_finished(id) for id in ids}
            await api_tenant.http.post("/notifications/send", json={"recipient": {"email": CANARIES["e-mail"]}})
            logging.getLogger("test").warning("the log is read")
        return PrivateSends(ends, log.getvalue(), api_tenant.tenant, api_tenant.tenant_key)


async def test_the_sends_went_every_way(sent: PrivateSends) -> None:
    ends = sent.ends.values()
    assert {end["status"] for end in ends} >= {"FAILED", "EXPIRED", "DIGESTED", "SUPPRESSED"}
    assert {entry["reason"] for end in ends for entry in end["timeline"] if entry["kind"] == "waiting"} == {
        "quiet_hours",
        "throttled",
    }
    assert {d["channel"] for end in ends for d in end["deliveries"] if d["sent_at"]} == set(CHANNELS)
    assert {reason for end in ends if (reason := end["failure_reason"])} >= {
        "email: refused_recipient",
        "push: template_error: a value does not fit the operation, filter or function it is used with in body, line 1",
    }
    assert any(str(end["failure_reason"]).startswith("sms: gave_up") for end in ends)


async def test_temporal_stores_no_personal_data(engine: Engine, sent: PrivateSends) -> None:
    expected = {end["workflow_id"] for end in sent.ends.values() if end["status"] != "DIGESTED"}
    listed = await eventually(lambda: workflows_of(engine, sent.tenant_key), lambda ids: prefixes(ids) == PREFIXES)
    # Temporal lists eventually, and serves an id at once.
    ids = expected | listed
    kept = dict(zip(ids, await asyncio.gather(*(kept_by_temporal(engine, id) for id in ids)), strict=True))
    for id in (tick_schedule(sent.tenant, kind) for kind in ("by-calendar", "recurring")):
        kept[id] = await schedule_of(engine, id)
    assert all(id.encode() in everything for id, everything in kept.items()), "the search is blind"
    assert {id: names for id, everything in kept.items() if (names := found_in(everything))} == {}


async def test_the_log_contains_no_personal_data(sent: PrivateSends) -> None:
    assert json.loads(sent.log.splitlines()[-1])["event"] == "the log is read"
    assert found_in(sent.log) == set()


async def test_the_error_of_a_bug_does_not_carry_quoted_data(
    engine: Engine, api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quoting(*_: object) -> None:
        raise ValueError(f"{CANARIES['e-mail']} is not what was expected")

    await api_tenant.put_type("news", ["email"])
    await _person(api_tenant, "good")
    monkeypatch.setattr(resolution, "read_recipient_context", quoting)
    with product_log() as log:
        id = await api_tenant.send("news", person("good"))
        await api_tenant.wait_until_finished(id)
        kept = await kept_by_temporal(engine, engine.workflow(id).id)
    assert b"ValueError" in kept
    assert found_in(kept) == set()
    assert "ValueError" in log.getvalue()
    assert found_in(log.getvalue()) == set()
