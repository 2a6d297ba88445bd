"""Recurring sends over the API: checked like a send, shown with their times, and each tenant's own."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import text

from bootstrap import Parts
from storage import reconsiderations, schedule_plans, zone_changes
from tests.api.shops import Shop, faults, open_shop

pytestmark = pytest.mark.postgres

SCHEMA = {"type": "object", "required": ["figure"], "properties": {"figure": {"type": "integer"}}}
BODY = {"notification_type": "report", "payload": {"figure": 7}, "cron": "0 9 * * *", "timezone": "Europe/Berlin"}
SEND = {"notification_type": "report", "payload": {"figure": 7}}
PATH = "/schedules/daily"
DAYS = {"from": "2026-01-01T08:00:00Z", "to": "2026-01-03T08:00:00Z"}


@pytest.fixture
async def shop(parts: Parts) -> AsyncIterator[Shop]:
    async with open_shop(parts) as shop:
        words = {"name": "report", "channel": "email", "language": "en", "body_template": "{{ figure }}"}
        template = {**words, "subject_template": "Report", "variables_schema": SCHEMA, "publish": True}
        assert (await shop.http.post("/templates", json=template)).status_code == 201
        kind = {"route": [{"channels": ["email"]}], "templates": {"email": "report"}}
        assert (await shop.put("/notification-types/report", kind)).status_code == 201
        await shop.with_person(email="ada@example.com")
        yield shop


async def put(shop: Shop, **body: Any) -> Response:
    given = {**BODY, "recipient_id": shop.person, **body}
    return await shop.put(PATH, {name: value for name, value in given.items() if value is not None})


async def test_it_is_shown_as_it_was_given_with_its_next_times(shop: Shop) -> None:
    made = await put(shop, tags=["weekly"], expires_in="1h", ends_at="2099-01-01T00:00:00Z")
    assert (made.status_code, made.headers["location"]) == (201, f"/api/v1{PATH}")
    shown = made.json()
    assert {name: shown[name] for name in BODY} == BODY
    assert (shown["recipient_id"], shown["recipients"], shown["topic"]) == (shop.person, None, None)
    assert (shown["overlap"], shown["tags"], shown["expires_in"]) == ("skip", ["weekly"], "1h")
    assert (shown["ends_at"], shown["paused"], shown["last_runs"]) == ("2099-01-01T00:00:00Z", False, [])
    assert (len(shown["next_runs"]), shown["next_runs_timezone"]) == (5, "Europe/Berlin")
    assert {time[11:] for time in shown["next_runs"]} <= {"07:00:00Z", "08:00:00Z"}
    assert (await shop.http.get(PATH)).json() == shown
    assert (await put(shop)).status_code == 200


async def test_times_of_each_ones_own_zone_are_shown_for_the_tenants(shop: Shop) -> None:
    shown = (await put(shop, timezone="recipient")).json()
    assert shown["next_runs_timezone"] == "UTC"
    assert {time[11:] for time in shown["next_runs"]} == {"09:00:00Z"}


async def test_whoever_is_named_twice_is_meant_once(shop: Shop) -> None:
    shown = (await put(shop, recipient_id=None, recipients=[shop.person, shop.person])).json()
    assert shown["recipients"] == [shop.person]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"notification_type": "unheard of"}, "/notification_type"),
        ({"recipient_id": "nobody"}, "/recipient_id"),
        ({"recipient_id": None, "recipients": ["nobody"]}, "/recipients/0"),
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
async def test_what_no_send_could_be_is_named_and_not_kept(shop: Shop, body: dict[str, Any], pointer: str) -> None:
    assert list(faults(await put(shop, **body))) == [pointer]
    assert (await shop.http.get(PATH)).status_code == 404


async def done_in_batches(shop: Shop) -> None:
    """As the leader does what a change of settings has left to do."""
    async with shop.database.transaction() as session:
        while await reconsiderations.reconsider_batch(session, 10, zone_changes.WORKS):
            pass


async def due_hours(shop: Shop) -> set[int]:
    """In UTC, of the people of this tenant's schedules."""
    async with shop.database.transaction() as session:
        rows = await session.execute(text("SELECT due_at FROM schedule_turn WHERE tenant = :t"), {"t": shop.tenant})
        return {due_at.hour for due_at in rows.scalars()}


async def test_whatever_says_where_somebody_is_moves_their_time(shop: Shop) -> None:
    await put(shop, timezone="recipient")
    assert await due_hours(shop) == {9}
    person = f"/recipients/{shop.person}"
    await shop.put(person, {"timezone": "Asia/Tokyo"})
    assert await due_hours(shop) == {0}
    await shop.http.patch(person, json={"timezone": "Asia/Dubai"})
    assert await due_hours(shop) == {5}
    inline = {"recipient": {"recipient_id": shop.person, "timezone": "Asia/Kolkata"}}
    sent = await shop.http.post("/notifications/send", json={**inline, **SEND})
    assert sent.status_code == 202, sent.text
    assert await due_hours(shop) == {3}
    await shop.http.patch(person, json={"timezone": None})
    assert await due_hours(shop) == {9}
    await shop.http.patch("/settings", json={"timezone": "Asia/Tokyo"})
    await done_in_batches(shop)
    assert await due_hours(shop) == {0}


@pytest.mark.parametrize(("start", "end"), [("1970-01-01", "9999-12-31"), ("2999-12-31", None)])
async def test_it_may_begin_and_end_in_far_years(shop: Shop, start: str, end: str | None) -> None:
    made = await put(shop, timezone="recipient", starts_at=f"{start}T00:00:00Z", ends_at=end and f"{end}T23:59:59Z")
    assert made.status_code == 201, made.text
    assert len(made.json()["next_runs"]) == 5


async def test_one_in_a_zone_that_this_machine_does_not_have_is_shown_without_next_times(shop: Shop) -> None:
    await put(shop)
    async with shop.database.transaction() as session:
        change = "UPDATE schedule SET spec = jsonb_set(spec, '{timezone}', '\"Mars/Olympus\"') WHERE tenant = :t"
        await session.execute(text(change), {"t": shop.tenant})
    for shown in ((await shop.http.get(PATH)).json(), (await shop.http.get("/schedules")).json()["items"][0]):
        assert (shown["timezone"], shown["next_runs"]) == ("Mars/Olympus", [])


async def test_a_paused_one_has_no_next_times(shop: Shop) -> None:
    made = (await put(shop)).json()
    for _ in range(2):
        paused = (await shop.http.post(f"{PATH}/pause")).json()
        assert (paused["paused"], paused["next_runs"]) == (True, [])
    assert (await put(shop)).json()["paused"]
    resumed = (await shop.http.post(f"{PATH}/resume")).json()
    assert (resumed["paused"], resumed["next_runs"]) == (False, made["next_runs"])


async def test_a_range_to_be_filled_in_has_passed_and_holds_a_hundred_times_at_most(shop: Shop) -> None:
    await put(shop)
    url = f"{PATH}/backfill"
    filled = await shop.http.post(url, json=DAYS)
    assert (filled.status_code, filled.json()) == (202, {"times": [f"2026-01-0{day}T08:00:00Z" for day in (1, 2, 3)]})
    assert faults(await shop.http.post(url, json=DAYS | {"to": "2099-01-01T00:00:00Z"})) == {"/to": "must have passed"}
    assert list(faults(await shop.http.post(url, json=DAYS | {"from": "2025-01-01T00:00:00Z"}))) == ["/from"]
    assert list(faults(await shop.http.post(url, json={"from": DAYS["to"], "to": DAYS["from"]}))) == [""]
    assert list(faults(await shop.http.post(url, json=DAYS | {"from": "0001-01-01T00:00:00Z"}))) == ["/from"]


async def test_the_list_goes_page_by_page(shop: Shop) -> None:
    for key in ("a", "b", "c"):
        assert (await shop.put(f"/schedules/{key}", {**BODY, "recipient_id": shop.person})).status_code == 201
    first = (await shop.http.get("/schedules", params={"limit": 2})).json()
    rest = (await shop.http.get("/schedules", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["key"] for item in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert "payload" not in first["items"][0]
    assert len(first["items"][0]["next_runs"]) == 5


async def test_a_deleted_one_is_gone_and_its_key_is_free(shop: Shop) -> None:
    await put(shop)
    assert (await shop.http.delete(PATH)).status_code == 204
    assert [(await shop.http.request(verb, PATH)).status_code for verb in ("GET", "DELETE")] == [404, 404]
    again = await put(shop)
    assert (again.status_code, again.json()["last_runs"]) == (201, [])


PLANNED = "INSERT INTO schedule_plan SELECT id, 'bob', 500, now(), true, now() FROM schedule WHERE tenant = :tenant"


async def test_a_plan_under_way_shows_its_progress_and_refuses_a_backfill(shop: Shop) -> None:
    assert (await put(shop, timezone="recipient")).json()["planning"] is None
    async with shop.database.transaction() as holder:
        # The leader of an engine that runs beside the test waits for the schedule.
        await schedule_plans.lock_schedule(holder, shop.tenant, "daily")
        async with shop.database.transaction() as session:
            await session.execute(text(PLANNED), {"tenant": shop.tenant})
        assert (await shop.http.get(PATH)).json()["planning"]["planned_recipients"] == 500
        refused = await shop.http.post(f"{PATH}/backfill", json=DAYS)
        assert (refused.status_code, refused.headers["Retry-After"]) == (409, "5")
    async with shop.database.transaction() as session:
        while await schedule_plans.continue_batch(session):
            pass
    assert (await shop.http.get(PATH)).json()["planning"] is None
    assert (await shop.http.post(f"{PATH}/backfill", json=DAYS)).status_code == 202
