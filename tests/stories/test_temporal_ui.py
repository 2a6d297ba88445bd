"""Check the README's queries for Temporal's Web UI: they return the workflows of the API's open notifications."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from domain.channels import Channel
from providers.sandbox import Sandbox
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import Engine, later
from tests.polling import eventually
from tests.stories.test_gates import hours_around_now

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

README = (Path(__file__).parents[2] / "README.md").read_text()
TABLE_ROW = re.compile(r"^\| [^|]+ \| `([^`]*TocsinStatus = \"(\w+)\"[^`]*)` \| ([A-Z, ]+): (.+) \|$", re.MULTILINE)
PHONE = "+447700900123"
SETTLE_WINDOW = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class ReadmeQuery:
    """Hold a row of the README's table."""

    query: str
    statuses: tuple[str, ...]
    reasons: frozenset[str]


QUERIES = {
    name: ReadmeQuery(
        query=query, statuses=tuple(statuses.split(", ")), reasons=frozenset(re.findall(r"`(\w+)`", reasons))
    )
    for query, name, statuses, reasons in TABLE_ROW.findall(README)
}
# The wait of each send, by the send's name.
EXPECTED_WAITS = {
    "scheduled": "send_at",
    "retried": "retry",
    "quiet": "quiet_hours",
    "throttled": "throttled",
    "paused": "paused",
    "reconciled": "receipt",
    "goal": "goal",
    "digest": "digest",
}


@dataclass(frozen=True, kw_only=True)
class WaitingSends:
    """Hold the ids of notifications by the names of EXPECTED_WAITS."""

    api_tenant: ApiTenant
    ids: Mapping[str, str]


@pytest.fixture(scope="module")
async def waiting_sends(engine: Engine) -> AsyncIterator[WaitingSends]:
    """Send one notification per wait. The provider's records settle after an hour, so that a lookup waits that long."""
    pools = engine.container.pools
    async with open_api_tenant(engine) as api_tenant:
        await prepare_tenant(api_tenant)
        sends: dict[str, Any] = {
            "scheduled": api_tenant.send("news", send_at=later(600)),
            "retried": api_tenant.send("retried", "failing-error"),
            "quiet": api_tenant.send("news", "quiet"),
            "throttled": api_tenant.send("throttled"),
            "paused": api_tenant.send("paused"),
            "reconciled": api_tenant.send("reconciled", "failing-hang"),
            "goal": api_tenant.send("goal"),
            "digest": api_tenant.send("digest"),
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Sandbox, "settle_window", SETTLE_WINDOW.total_seconds())
            patch.setitem(
                pools, Channel.EMAIL, [replace(one, settles_within=SETTLE_WINDOW) for one in pools[Channel.EMAIL]]
            )
            ids = dict(zip(sends, await asyncio.gather(*sends.values()), strict=True))
            yield WaitingSends(api_tenant=api_tenant, ids=ids)
        for id in ids.values():
            await api_tenant.cancel(id)
        await engine.workflow(ids["reconciled"]).terminate()
        await api_tenant.call("POST", "/channels/sms/resume")


async def prepare_tenant(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_type("retried", ["email"])
    await api_tenant.put_type("paused", ["sms"])
    await api_tenant.put_type("throttled", ["email"], throttle={"limit": 1, "per": "1h", "on_exceed": "defer"})
    await api_tenant.put_type("reconciled", ["email"], delivery_guarantee="reconcile")
    await api_tenant.put_type("digest", ["email"], digest={"window": "1h"})
    await api_tenant.put_type("goal", ["email"], ["sms"])
    steps = [{"channels": ["email"], "until": "opened", "within": "1h"}, {"channels": ["sms"]}]
    await api_tenant.call(
        "PUT", "/notification-types/goal", {"route": steps, "templates": {"email": "goal", "sms": "goal"}}
    )
    await api_tenant.put_recipient("ada", email="ada@example.com", phone=PHONE)
    await api_tenant.put_recipient("quiet", email="quiet@example.com", timezone="UTC")
    await api_tenant.call("PUT", "/recipients/quiet/preferences", {"quiet_hours": hours_around_now()})
    for behavior in ("error", "hang"):
        await api_tenant.put_recipient(f"failing-{behavior}", email=f"recipient+{behavior}@example.com")
    await api_tenant.call("POST", "/channels/sms/pause")
    await api_tenant.wait_until_finished(await api_tenant.send("throttled"))


def test_the_readme_has_a_query_for_each_waiting_status() -> None:
    assert set(QUERIES) == {"SCHEDULED", "RETRYING", "HELD", "RECONCILING", "WAITING", "COLLECTING"}


@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_of_the_readme_returns_the_notifications_of_the_api(
    waiting_sends: WaitingSends, name: str
) -> None:
    query, api_tenant = QUERIES[name], waiting_sends.api_tenant
    expected = {waiting_sends.ids[send] for send, reason in EXPECTED_WAITS.items() if reason in query.reasons}

    async def list_from_temporal() -> set[str]:
        tenant_query = f"{query.query} AND TocsinTenant = '{api_tenant.tenant_key}'"
        return {run.id async for run in api_tenant.engine.temporal.list_workflows(tenant_query)}

    async def list_from_api() -> dict[str, str]:
        pages = [await api_tenant.call("GET", f"/notifications?status={status}&limit=100") for status in query.statuses]
        items = [item for page in pages for item in page["items"] if item["waits_for"] in query.reasons]
        return {item["id"]: item["workflow_id"] for item in items}

    async def list_both() -> tuple[set[str], dict[str, str]]:
        return await list_from_temporal(), await list_from_api()

    await eventually(list_both, lambda both: both[1].keys() == expected and both[0] == set(both[1].values()))


def add_delay(time: str, delay: timedelta) -> str:
    return (datetime.fromisoformat(time) + delay).astimezone(UTC).isoformat().replace("+00:00", "Z")


# The ends that are known exactly.
EXACT_ENDS: dict[str, Callable[[Any], str | None]] = {
    "scheduled": lambda notification: notification["send_at"],
    "paused": lambda _: None,
    "goal": lambda notification: add_delay(notification["deliveries"][0]["sent_at"], timedelta(hours=1)),
    "digest": lambda notification: notification["digest"]["closes_at"],
    "reconciled": lambda notification: add_delay(
        notification["deliveries"][0]["attempts"][-1]["finished_at"], SETTLE_WINDOW
    ),
}


@pytest.mark.parametrize("name", EXPECTED_WAITS)
async def test_the_api_shows_a_wait_with_its_end(waiting_sends: WaitingSends, name: str) -> None:
    api_tenant, id = waiting_sends.api_tenant, waiting_sends.ids[name]
    notification = await eventually(
        lambda: api_tenant.notification(id), lambda found: found["waits_for"] == EXPECTED_WAITS[name]
    )
    exact_end = EXACT_ENDS.get(name)
    assert (
        notification["waits_until"] == exact_end(notification) if exact_end else notification["waits_until"] is not None
    )
    path = f"/notifications/{id}/explain"
    await eventually(lambda: api_tenant.call("GET", path), lambda found: found["waits_for"] == EXPECTED_WAITS[name])


async def test_a_retry_runs_at_its_announced_time(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+flaky@example.com")
    id = await api_tenant.send("news")
    [delivery] = (await api_tenant.wait_for_end(id, "DELIVERED"))["deliveries"]
    assert (delivery["waits_for"], delivery["waits_until"]) == (None, None)
    select_attempts = "SELECT number, next_at, started_at FROM attempt WHERE notification_id = :id ORDER BY number"
    first, second, third = await api_tenant.query(select_attempts, id=id)
    assert third["next_at"] is None
    for failed, retried in ((first, second), (second, third)):
        assert retried["started_at"] > failed["next_at"]


async def test_a_bounce_after_the_end_is_only_in_the_failures(engine: Engine, api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+bounce@example.com")
    id = await api_tenant.send("news")
    await api_tenant.wait_for_end(id, "FAILED")
    description = await eventually(engine.workflow(id).describe, lambda found: found.close_time is not None)
    assert description.status is WorkflowExecutionStatus.COMPLETED
    assert sum(item["count"] for item in (await api_tenant.call("GET", "/failures"))["items"]) == 1
    lines = [line["text"] for line in (await api_tenant.call("GET", f"/notifications/{id}/explain"))["lines"]]
    assert "Its run in Temporal had ended before and does not show this; GET /failures does." in lines
