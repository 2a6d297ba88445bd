"""Test that recurring sends are checked like sends, shown with their occurrences, and isolated between tenants."""

from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import text

from storage import reconsiderations, schedules
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres

SCHEMA = {"type": "object", "required": ["figure"], "properties": {"figure": {"type": "integer"}}}
BODY = {"notification_type": "report", "payload": {"figure": 7}, "cron": "0 9 * * *", "timezone": "Europe/Berlin"}
SEND = {"notification_type": "report", "payload": {"figure": 7}}
PATH = "/schedules/daily"
DAYS = {"from": "2026-01-01T08:00:00Z", "to": "2026-01-03T08:00:00Z"}


@pytest.fixture
async def api_tenant(api_tenant: ApiTenant) -> ApiTenant:
    await api_tenant.put_type("report", ["email"], template={"body": "{{ figure }}", "variables_schema": SCHEMA})
    await api_tenant.put_recipient(email="ada@example.com")
    return api_tenant


async def put(api_tenant: ApiTenant, **body: Any) -> Response:
    given = {**BODY, "recipient_id": api_tenant.recipient_id, **body}
    return await api_tenant.put(PATH, {name: value for name, value in given.items() if value is not None})


async def test_a_schedule_is_shown_as_given_with_its_next_occurrences(api_tenant: ApiTenant) -> None:
    made = await put(api_tenant, tags=["weekly"], expires_in="1h", ends_at="2099-01-01T00:00:00Z")
    assert (made.status_code, made.headers["location"]) == (201, f"/api/v1{PATH}")
    shown = made.json()
    assert {name: shown[name] for name in BODY} == BODY
    assert (shown["recipient_id"], shown["recipients"], shown["topic"]) == (api_tenant.recipient_id, None, None)
    assert (shown["overlap"], shown["tags"], shown["expires_in"]) == ("skip", ["weekly"], "1h")
    assert (shown["ends_at"], shown["paused"], shown["last_runs"]) == ("2099-01-01T00:00:00Z", False, [])
    assert (len(shown["next_runs"]), shown["next_runs_timezone"]) == (5, "Europe/Berlin")
    assert {time[11:] for time in shown["next_runs"]} <= {"07:00:00Z", "08:00:00Z"}
    assert (await api_tenant.http.get(PATH)).json() == shown
    assert (await put(api_tenant)).status_code == 200


async def test_times_of_each_ones_own_zone_are_shown_for_the_tenants(api_tenant: ApiTenant) -> None:
    shown = (await put(api_tenant, timezone="recipient")).json()
    assert shown["next_runs_timezone"] == "UTC"
    assert {time[11:] for time in shown["next_runs"]} == {"09:00:00Z"}


async def test_a_recipient_named_twice_is_scheduled_once(api_tenant: ApiTenant) -> None:
    shown = (
        await put(api_tenant, recipient_id=None, recipients=[api_tenant.recipient_id, api_tenant.recipient_id])
    ).json()
    assert shown["recipients"] == [api_tenant.recipient_id]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"notification_type": "unheard of"}, "/notification_type"),
        ({"recipient_id": "unknown"}, "/recipient_id"),
        ({"recipient_id": None, "recipients": ["unknown"]}, "/recipients/0"),
        ({"recipient_id": None, "recipients": []}, "/recipients"),
        ({"recipient_id": None}, ""),
        ({"topic": "news"}, ""),
        ({"payload": {"figure": "seven"}}, "/payload/figure"),
        ({"channels": ["sms"]}, "/channels/0"),
        ({"cron": "0 9 * *"}, "/cron"),
        ({"cron": "0 0 30 2 *"}, "/cron"),
        ({"timezone": "Atlantis"}, "/timezone"),
        ({"overlap": "maybe"}, "/overlap"),
        ({"starts_at": "9999-12-31T23:00:00Z"}, "/starts_at"),
        ({"starts_at": "0001-01-01T00:00:00Z"}, "/starts_at"),
        ({"starts_at": "2030-01-02T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"}, ""),
    ],
)
async def test_an_invalid_send_of_a_schedule_is_named_and_not_stored(
    api_tenant: ApiTenant, body: dict[str, Any], pointer: str
) -> None:
    assert list(validation_errors(await put(api_tenant, **body))) == [pointer]
    assert (await api_tenant.http.get(PATH)).status_code == 404


async def done_in_batches(api_tenant: ApiTenant) -> None:
    """Do the work that a change of settings leaves to the leader."""
    async with api_tenant.database.transaction() as session:
        while await reconsiderations.reconsider_batch(session, 10):
            pass


async def due_hours(api_tenant: ApiTenant) -> set[int]:
    """Return the due hours in UTC of the recipients of this tenant's schedules."""
    async with api_tenant.database.transaction() as session:
        rows = await session.execute(
            text("SELECT due_at FROM schedule_occurrence WHERE tenant = :t"), {"t": api_tenant.tenant}
        )
        return {due_at.hour for due_at in rows.scalars()}


async def test_every_change_of_a_zone_moves_the_occurrences(api_tenant: ApiTenant) -> None:
    await put(api_tenant, timezone="recipient")
    assert await due_hours(api_tenant) == {9}
    recipient_path = f"/recipients/{api_tenant.recipient_id}"
    await api_tenant.put(recipient_path, {"timezone": "Asia/Tokyo"})
    assert await due_hours(api_tenant) == {0}
    await api_tenant.http.patch(recipient_path, json={"timezone": "Asia/Dubai"})
    assert await due_hours(api_tenant) == {5}
    inline = {"recipient": {"recipient_id": api_tenant.recipient_id, "timezone": "Asia/Kolkata"}}
    sent = await api_tenant.http.post("/notifications/send", json={**inline, **SEND})
    assert sent.status_code == 202, sent.text
    assert await due_hours(api_tenant) == {3}
    await api_tenant.http.patch(recipient_path, json={"timezone": None})
    assert await due_hours(api_tenant) == {9}
    await api_tenant.http.patch("/settings", json={"timezone": "Asia/Tokyo"})
    await done_in_batches(api_tenant)
    assert await due_hours(api_tenant) == {0}


@pytest.mark.parametrize(("start", "end"), [("1970-01-01", "9999-12-31"), ("2999-12-31", None)])
async def test_a_schedule_may_begin_and_end_in_far_years(api_tenant: ApiTenant, start: str, end: str | None) -> None:
    made = await put(
        api_tenant, timezone="recipient", starts_at=f"{start}T00:00:00Z", ends_at=end and f"{end}T23:59:59Z"
    )
    assert made.status_code == 201, made.text
    assert len(made.json()["next_runs"]) == 5


async def test_a_schedule_in_an_unknown_zone_is_shown_without_next_occurrences(api_tenant: ApiTenant) -> None:
    await put(api_tenant)
    await api_tenant.query(
        "UPDATE schedule SET spec = jsonb_set(spec, '{timezone}', '\"Mars/Olympus\"') WHERE tenant = :tenant"
    )
    for shown in (
        (await api_tenant.http.get(PATH)).json(),
        (await api_tenant.http.get("/schedules")).json()["items"][0],
    ):
        assert (shown["timezone"], shown["next_runs"]) == ("Mars/Olympus", [])


async def test_a_paused_one_has_no_next_times(api_tenant: ApiTenant) -> None:
    made = (await put(api_tenant)).json()
    for _ in range(2):
        paused = (await api_tenant.http.post(f"{PATH}/pause")).json()
        assert (paused["paused"], paused["next_runs"]) == (True, [])
    assert (await put(api_tenant)).json()["paused"]
    resumed = (await api_tenant.http.post(f"{PATH}/resume")).json()
    assert (resumed["paused"], resumed["next_runs"]) == (False, made["next_runs"])


async def test_a_backfill_range_is_past_and_has_at_most_a_hundred_occurrences(api_tenant: ApiTenant) -> None:
    await put(api_tenant)
    url = f"{PATH}/backfill"
    filled = await api_tenant.http.post(url, json=DAYS)
    assert (filled.status_code, filled.json()) == (202, {"times": [f"2026-01-0{day}T08:00:00Z" for day in (1, 2, 3)]})
    assert validation_errors(await api_tenant.http.post(url, json=DAYS | {"to": "2099-01-01T00:00:00Z"})) == {
        "/to": "must be in the past"
    }
    assert list(validation_errors(await api_tenant.http.post(url, json=DAYS | {"from": "2025-01-01T00:00:00Z"}))) == [
        "/from"
    ]
    assert list(validation_errors(await api_tenant.http.post(url, json={"from": DAYS["to"], "to": DAYS["from"]}))) == [
        ""
    ]
    assert list(validation_errors(await api_tenant.http.post(url, json=DAYS | {"from": "0001-01-01T00:00:00Z"}))) == [
        "/from"
    ]


async def test_the_list_goes_page_by_page(api_tenant: ApiTenant) -> None:
    for key in ("a", "b", "c"):
        assert (
            await api_tenant.put(f"/schedules/{key}", {**BODY, "recipient_id": api_tenant.recipient_id})
        ).status_code == 201
    first = (await api_tenant.http.get("/schedules", params={"limit": 2})).json()
    rest = (await api_tenant.http.get("/schedules", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["key"] for item in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert "payload" not in first["items"][0]
    assert len(first["items"][0]["next_runs"]) == 5


async def test_a_deleted_schedule_is_not_found_and_its_key_is_free(api_tenant: ApiTenant) -> None:
    await put(api_tenant)
    assert (await api_tenant.http.delete(PATH)).status_code == 204
    assert [(await api_tenant.http.request(verb, PATH)).status_code for verb in ("GET", "DELETE")] == [404, 404]
    again = await put(api_tenant)
    assert (again.status_code, again.json()["last_runs"]) == (201, [])


PLANNED = "INSERT INTO schedule_plan SELECT id, 'bob', 500, now(), true, now() FROM schedule WHERE tenant = :tenant"


async def test_a_plan_under_way_shows_its_progress_and_refuses_a_backfill(api_tenant: ApiTenant) -> None:
    assert (await put(api_tenant, timezone="recipient")).json()["planning"] is None
    async with api_tenant.database.transaction() as holder:
        # The leader of an engine that runs at the same time waits for the schedule.
        await schedules.lock_schedule(holder, api_tenant.tenant, "daily")
        await api_tenant.query(PLANNED)
        assert (await api_tenant.http.get(PATH)).json()["planning"]["planned_recipients"] == 500
        refused = await api_tenant.http.post(f"{PATH}/backfill", json=DAYS)
        assert (refused.status_code, refused.headers["Retry-After"]) == (409, "5")
    async with api_tenant.database.transaction() as session:
        while await schedules.plan_next_batch(session):
            pass
    assert (await api_tenant.http.get(PATH)).json()["planning"] is None
    assert (await api_tenant.http.post(f"{PATH}/backfill", json=DAYS)).status_code == 202
