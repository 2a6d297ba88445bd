"""What the README says of Temporal's Web UI: its queries give the runs of what the API shows as open."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus

from domain.channels import Channel
from providers.sandbox import Sandbox
from tests.engine import ApiTenant, Engine, later, open_api_tenant
from tests.polling import eventually
from tests.stories.test_gates import around_now

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

README = (Path(__file__).parents[2] / "README.md").read_text()
ROW = re.compile(r"^\| [^|]+ \| `([^`]*TocsinStatus = \"(\w+)\"[^`]*)` \| ([A-Z, ]+): (.+) \|$", re.MULTILINE)
PHONE = "+447700900123"
SETTLES = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Query:
    """A row of the README's table."""

    query: str
    statuses: tuple[str, ...]
    reasons: frozenset[str]


QUERIES = {
    name: Query(query=query, statuses=tuple(statuses.split(", ")), reasons=frozenset(re.findall(r"`(\w+)`", reasons)))
    for query, name, statuses, reasons in ROW.findall(README)
}
# What each send waits for, by its type.
EXPECTED = {
    "scheduled": "send_at",
    "retried": "retry",
    "quiet": "quiet_hours",
    "throttled": "throttled",
    "paused": "paused",
    "asked": "receipt",
    "goal": "goal",
    "digest": "digest",
}


@dataclass(frozen=True, kw_only=True)
class WaitingSends:
    """Ids of notifications by the names of EXPECTED."""

    api_tenant: ApiTenant
    ids: Mapping[str, str]


@pytest.fixture(scope="module")
async def waiting(engine: Engine) -> AsyncIterator[WaitingSends]:
    """With a provider whose records need an hour to settle, so that a lost outcome is looked for as long."""
    pools = engine.container.pools
    async with open_api_tenant(engine) as api_tenant:
        await set_up(api_tenant)
        sends: dict[str, Any] = {
            "scheduled": api_tenant.send("news", send_at=later(600)),
            "retried": api_tenant.send("retried", "mr-error"),
            "quiet": api_tenant.send("news", "quiet"),
            "throttled": api_tenant.send("throttled"),
            "paused": api_tenant.send("paused"),
            "asked": api_tenant.send("asked", "mr-hang"),
            "goal": api_tenant.send("goal"),
            "digest": api_tenant.send("digest"),
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Sandbox, "settle_window", SETTLES.total_seconds())
            patch.setitem(pools, Channel.EMAIL, [replace(one, settles_within=SETTLES) for one in pools[Channel.EMAIL]])
            ids = dict(zip(sends, await asyncio.gather(*sends.values()), strict=True))
            yield WaitingSends(api_tenant=api_tenant, ids=ids)
        for id in ids.values():
            await api_tenant.cancel(id)
        await engine.workflow(ids["asked"]).terminate()
        await api_tenant.call("POST", "/channels/sms/resume")


async def set_up(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_type("retried", ["email"])
    await api_tenant.put_type("paused", ["sms"])
    await api_tenant.put_type("throttled", ["email"], throttle={"limit": 1, "per": "1h", "on_exceed": "defer"})
    await api_tenant.put_type("asked", ["email"], delivery_guarantee="reconcile")
    await api_tenant.put_type("digest", ["email"], digest={"window": "1h"})
    await api_tenant.put_type("goal", ["email"], ["sms"])
    steps = [{"channels": ["email"], "until": "opened", "within": "1h"}, {"channels": ["sms"]}]
    await api_tenant.call(
        "PUT", "/notification-types/goal", {"route": steps, "templates": {"email": "goal", "sms": "goal"}}
    )
    await api_tenant.put_recipient("ada", email="ada@example.com", phone=PHONE)
    await api_tenant.put_recipient("quiet", email="quiet@example.com", timezone="UTC")
    await api_tenant.call("PUT", "/recipients/quiet/preferences", {"quiet_hours": around_now()})
    for word in ("error", "hang"):
        await api_tenant.put_recipient(f"mr-{word}", email=f"somebody+{word}@example.com")
    await api_tenant.call("POST", "/channels/sms/pause")
    await api_tenant.wait_until_finished(await api_tenant.send("throttled"))


def test_the_readme_has_a_query_for_each_waiting_status() -> None:
    assert set(QUERIES) == {"SCHEDULED", "RETRYING", "HELD", "RECONCILING", "WAITING", "COLLECTING"}


@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_of_the_readme_gives_the_rows_of_the_api(waiting: WaitingSends, name: str) -> None:
    query, api_tenant = QUERIES[name], waiting.api_tenant
    expected = {waiting.ids[kind] for kind, reason in EXPECTED.items() if reason in query.reasons}

    async def by_temporal() -> set[str]:
        mine = f"{query.query} AND TocsinTenant = '{api_tenant.tenant_key}'"
        return {run.id async for run in api_tenant.engine.temporal.list_workflows(mine)}

    async def by_api() -> dict[str, str]:
        pages = [await api_tenant.call("GET", f"/notifications?status={status}&limit=100") for status in query.statuses]
        items = [item for page in pages for item in page["items"] if item["waits_for"] in query.reasons]
        return {item["id"]: item["workflow_id"] for item in items}

    async def both() -> tuple[set[str], dict[str, str]]:
        return await by_temporal(), await by_api()

    await eventually(both, lambda seen: seen[1].keys() == expected and seen[0] == set(seen[1].values()))


def after(time: str, delay: timedelta) -> str:
    return (datetime.fromisoformat(time) + delay).astimezone(UTC).isoformat().replace("+00:00", "Z")


# Those that are known exactly.
ENDS: dict[str, Callable[[Any], str | None]] = {
    "scheduled": lambda shown: shown["send_at"],
    "paused": lambda _: None,
    "goal": lambda shown: after(shown["deliveries"][0]["sent_at"], timedelta(hours=1)),
    "digest": lambda shown: shown["digest"]["closes_at"],
    "asked": lambda shown: after(shown["deliveries"][0]["attempts"][-1]["finished_at"], SETTLES),
}


@pytest.mark.parametrize("kind", EXPECTED)
async def test_a_wait_is_shown_with_its_end(waiting: WaitingSends, kind: str) -> None:
    api_tenant, id = waiting.api_tenant, waiting.ids[kind]
    shown = await eventually(lambda: api_tenant.notification(id), lambda shown: shown["waits_for"] == EXPECTED[kind])
    until = ENDS.get(kind)
    assert shown["waits_until"] == until(shown) if until else shown["waits_until"] is not None
    explained = f"/notifications/{id}/explain"
    await eventually(lambda: api_tenant.call("GET", explained), lambda told: told["waits_for"] == EXPECTED[kind])


async def test_a_retry_runs_at_its_announced_time(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+flaky@example.com")
    id = await api_tenant.send("news")
    [delivery] = (await api_tenant.wait_for_end(id, "DELIVERED"))["deliveries"]
    assert (delivery["waits_for"], delivery["waits_until"]) == (None, None)
    read = "SELECT number, next_at, started_at FROM attempt WHERE notification_id = :id ORDER BY number"
    first, second, third = await rows(api_tenant, read, id=id)
    assert third["next_at"] is None
    for failed, retried in ((first, second), (second, third)):
        assert retried["started_at"] > failed["next_at"]


async def rows(api_tenant: ApiTenant, statement: str, **values: Any) -> list[Any]:
    async with api_tenant.engine.container.database.transaction() as session:
        return list((await session.execute(text(statement), values)).mappings())


async def test_a_bounce_after_the_end_is_in_the_failures_only(engine: Engine, api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+bounce@example.com")
    id = await api_tenant.send("news")
    await api_tenant.wait_for_end(id, "FAILED")
    described = await eventually(engine.workflow(id).describe, lambda seen: seen.close_time is not None)
    assert described.status is WorkflowExecutionStatus.COMPLETED
    assert sum(item["count"] for item in (await api_tenant.call("GET", "/failures"))["items"]) == 1
    lines = [line["text"] for line in (await api_tenant.call("GET", f"/notifications/{id}/explain"))["lines"]]
    assert "Its run in Temporal had ended before and does not show this; GET /failures does." in lines
