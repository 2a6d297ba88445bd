"""Turns that are due are run once, whoever looks and however often; and whoever is left out is told of."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from activities.recurring import Recurring
from domain.clock import now
from domain.schedules import RunKind, people_at_once
from models.columns import new_id
from storage import erasures, notification_types, recipients, schedule_runs, schedule_turns, schedules, topics
from storage.database import Database
from storage.schedule_runs import NewRun
from storage.schedules import Schedule
from tests.storage.locks import until_blocked
from tests.storage.sends import Desk, open_desk

pytestmark = pytest.mark.postgres

TYPE = "order.shipped"


@dataclass(frozen=True, kw_only=True)
class Office:
    """A tenant with one type, and what a tick does for it."""

    desk: Desk
    recurring: Recurring

    async def person(self, recipient_id: str, timezone: str | None = None) -> None:
        async with self.desk.database.transaction() as session:
            await recipients.replace(session, self.desk.tenant, recipient_id, {"timezone": timezone})
            await schedule_turns.moved(session, self.desk.tenant, [recipient_id])

    async def crowd(self, number: int) -> list[str]:
        people = [f"person-{number:03}" for number in range(number)]
        await self.desk.query(
            "INSERT INTO recipient (tenant, recipient_id, contact, attributes, created_at, updated_at) "
            "SELECT :t, unnest(CAST(:people AS text[])), '{}', '{}', now(), now()",
            t=self.desk.tenant,
            people=people,
        )
        return people

    async def elsewhere(self, schedule: Schedule, zone: str) -> None:
        """As if another machine, which knows that zone, had let its people or itself be there."""
        for statement in (
            "UPDATE recipient SET timezone = :zone WHERE tenant = :t AND :own",
            "UPDATE schedule SET spec = jsonb_set(spec, '{timezone}', to_jsonb(CAST(:zone AS text)))"
            " WHERE id = :id AND NOT :own",
            "UPDATE schedule_turn SET timezone = :zone WHERE schedule_id = :id",
        ):
            own = schedule.spec["timezone"] == "recipient"
            values = {"zone": zone, "t": self.desk.tenant, "id": schedule.id, "own": own}
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            await self.desk.query(statement, **used)

    async def schedule(self, cron: str = "0 12 * * *", key: str = "daily", **more: Any) -> Schedule:
        spec = {"payload": {"figure": 7}, "cron": cron, "timezone": "UTC", "overlap": "allow", **more}
        async with self.desk.database.transaction() as session:
            return (await schedules.put(session, self.desk.tenant, key, TYPE, spec))[0]

    async def overdue(self, schedule: Schedule, since: timedelta = timedelta(minutes=1)) -> None:
        """As if nobody had looked since then."""
        rule = schedule.value(self.desk.tenant).rule
        due_at = rule.next("UTC", now() - since - timedelta(days=1))
        await self.desk.query(
            "UPDATE schedule_turn SET due_at = :due_at WHERE schedule_id = :id", due_at=due_at, id=schedule.id
        )

    async def subscribe(self, recipient_id: str, *keys: str) -> None:
        async with self.desk.database.transaction() as session:
            for topic in keys:
                assert await topics.subscribe(session, self.desk.tenant, topic, recipient_id)

    async def unsubscribe(self, recipient_id: str, topic: str) -> None:
        async with self.desk.database.transaction() as session:
            assert await topics.unsubscribe(session, self.desk.tenant, topic, recipient_id)

    async def trigger(self, schedule: Schedule) -> None:
        await self.trigger_only(schedule)
        await self.tick()

    async def trigger_only(self, schedule: Schedule) -> None:
        run = NewRun(
            schedule=schedule.value(self.desk.tenant), kind=RunKind.TRIGGER, due_at=now(), id=new_id(), finished=False
        )
        async with self.desk.database.transaction() as session:
            await schedule_runs.tell(session, [run])

    async def tick(self) -> int:
        """How many steps found something to do."""
        steps = 0
        for work in self.recurring.works.values():
            while await work(self.desk.tenant, TYPE):
                steps += 1
        return steps

    async def people(self) -> list[str]:
        rows = await self.desk.query("SELECT recipient_id FROM notification WHERE tenant = :t", t=self.desk.tenant)
        return sorted(row["recipient_id"] for row in rows)

    async def runs(self, schedule: Schedule) -> list[schedule_runs.Run]:
        async with self.desk.database.transaction() as session:
            return await schedule_runs.last(session, schedule.id, 100)

    async def due_at(self, schedule: Schedule) -> dict[str, datetime]:
        rows = await self.desk.query("SELECT * FROM schedule_turn WHERE schedule_id = :id", id=schedule.id)
        return {row["recipient_id"]: row["due_at"] for row in rows}


@pytest.fixture
async def office(database: Database) -> Office:
    desk = await open_desk(database)
    office = Office(desk=desk, recurring=Recurring(database, b"secret"))
    spec = {"key": TYPE, "route": [{"channels": ["email"]}], "templates": {"email": "words"}}
    async with database.transaction() as session:
        await notification_types.put(session, desk.tenant, TYPE, spec)
    for person in ("ada", "bob"):
        await office.person(person)
    return office


@pytest.mark.parametrize("timezone", ["UTC", "recipient"])
async def test_two_ticks_at_the_same_moment_and_one_after_them_send_once(office: Office, timezone: str) -> None:
    schedule = await office.schedule(recipients=["ada", "bob"], timezone=timezone)
    await office.overdue(schedule)
    await asyncio.gather(office.tick(), office.tick())
    assert await office.tick() == 0
    assert await office.people() == ["ada", "bob"]
    assert [run.accepted for run in await office.runs(schedule)] == [2]
    assert min((await office.due_at(schedule)).values()) > now()


async def test_what_another_tick_has_claimed_is_left_to_it(office: Office) -> None:
    schedule = await office.schedule(recipients=["ada", "bob"], timezone="recipient")
    await office.overdue(schedule)
    async with office.desk.database.transaction() as session:
        [claimed] = await schedule_turns.claim(session, office.desk.tenant, TYPE, 1, own=True)
        assert await office.recurring.own_turns(office.desk.tenant, TYPE) == 1
        assert await office.people() == sorted({"ada", "bob"} - {claimed.recipient_id})


@pytest.mark.parametrize("timezone", ["UTC", "recipient"])
async def test_a_turn_that_somebody_holds_for_a_moment_is_waited_for(office: Office, timezone: str) -> None:
    """The tick after this one comes a quarter of an hour later."""
    schedule = await office.schedule(recipient_id="ada", timezone=timezone)
    await office.overdue(schedule)
    async with office.desk.database.transaction() as session:
        assert await schedule_turns.claim(session, office.desk.tenant, TYPE, 1, own=timezone == "recipient")
        tick = asyncio.create_task(office.tick())
        await until_blocked(office.desk.database, tick)
    await tick
    assert await office.people() == ["ada"]


async def test_whoever_is_being_changed_is_waited_for(office: Office) -> None:
    schedule = await office.schedule(recipient_id="ada", timezone="recipient")
    await office.overdue(schedule)
    async with office.desk.database.transaction() as session:
        assert await recipients.find(session, office.desk.tenant, "ada", lock=True)
        tick = asyncio.create_task(office.tick())
        await until_blocked(office.desk.database, tick)
    await tick
    assert await office.people() == ["ada"]


@pytest.mark.parametrize("timezone", ["UTC", "recipient"])
async def test_a_time_that_is_due_again_is_not_sent_again(office: Office, timezone: str) -> None:
    """As after a restore: the turn is that of before, the notification is there."""
    schedule = await office.schedule(recipient_id="ada", timezone=timezone)
    for _ in range(2):
        await office.overdue(schedule)
        await office.tick()
    assert await office.people() == ["ada"]


async def test_after_a_standstill_the_latest_time_is_sent_and_the_others_are_told_of(office: Office) -> None:
    schedule = await office.schedule(recipients=["ada", "bob"])
    await office.overdue(schedule, timedelta(days=3))
    await office.tick()
    assert await office.people() == ["ada", "bob"]
    told = sorted(await office.runs(schedule), key=lambda run: run.due_at)
    assert [(run.accepted, run.skipped) for run in told] == [(0, "missed")] * 3 + [(2, None)]


async def test_of_each_by_themselves_the_missed_ones_are_counted(office: Office) -> None:
    schedule = await office.schedule(recipients=["ada", "bob"], timezone="recipient")
    await office.overdue(schedule, timedelta(days=1))
    await office.tick()
    told = sorted(await office.runs(schedule), key=lambda run: run.due_at)
    assert [(run.accepted, run.left_out) for run in told] == [(0, {"missed": 2}), (2, {})]


@pytest.mark.parametrize(
    ("timezone", "told"), [("UTC", ("overlap", {})), ("recipient", (None, {"overlap": 1}))], ids=["together", "each"]
)
async def test_nobody_gets_one_while_another_is_on_its_way(
    office: Office, timezone: str, told: tuple[str | None, dict[str, int]]
) -> None:
    schedule = await office.schedule(recipient_id="ada", timezone=timezone, overlap="skip")
    await office.trigger(schedule)
    await office.overdue(schedule)
    await office.tick()
    assert await office.people() == ["ada"]
    [due] = [run for run in await office.runs(schedule) if run.kind == "due"]
    assert (due.accepted, due.skipped, due.left_out) == (0, *told)


@pytest.mark.parametrize("timezone", ["UTC", "recipient"])
async def test_what_is_collected_is_not_on_its_way(office: Office, timezone: str) -> None:
    """Every day into a digest of the week: all of them are in it."""
    schedule = await office.schedule(recipient_id="ada", timezone=timezone, overlap="skip")
    await office.trigger(schedule)
    await office.desk.query("UPDATE notification SET digest_group = 'week' WHERE tenant = :t", t=office.desk.tenant)
    await office.overdue(schedule)
    await office.tick()
    assert await office.people() == ["ada", "ada"]


@pytest.mark.parametrize(
    ("timezone", "told"),
    [("UTC", ("unknown_timezone", {})), ("recipient", (None, {"unknown_timezone": 1}))],
    ids=["together", "each"],
)
async def test_a_zone_that_this_machine_does_not_have_is_told_of_and_keeps_nobody_waiting(
    office: Office, timezone: str, told: tuple[str | None, dict[str, int]]
) -> None:
    schedule = await office.schedule(recipient_id="ada", timezone=timezone)
    await office.elsewhere(schedule, "Mars/Olympus")
    other = await office.schedule(key="other", recipient_id="bob", timezone="UTC")
    for each in (schedule, other):
        await office.overdue(each)
    await office.tick()
    assert await office.people() == ["bob"]
    assert [(run.skipped, run.left_out) for run in await office.runs(schedule)] == [told]
    assert min((await office.due_at(schedule)).values()) > now()


async def test_who_triggers_it_again_sends_it_again(office: Office) -> None:
    schedule = await office.schedule(recipients=["ada", "bob"], overlap="skip")
    for _ in range(2):
        await office.trigger(schedule)
    assert await office.people() == ["ada", "ada", "bob", "bob"]


@pytest.mark.parametrize("timezone", ["UTC", "recipient"])
async def test_a_type_that_was_deleted_is_told_of_and_due_again(office: Office, timezone: str) -> None:
    schedule = await office.schedule(recipients=["ada", "bob"], timezone=timezone)
    async with office.desk.database.transaction() as session:
        await notification_types.retire(session, office.desk.tenant, TYPE)
    await office.overdue(schedule)
    await office.tick()
    assert await office.people() == []
    assert [run.left_out for run in await office.runs(schedule)] == [{"type_deleted": 2}]
    assert min((await office.due_at(schedule)).values()) > now()


async def test_one_who_was_erased_is_told_of_and_the_others_are_sent_to(office: Office) -> None:
    schedule = await office.schedule(recipients=["ada", "bob"])
    await office.overdue(schedule)
    await office.desk.query("DELETE FROM recipient WHERE tenant = :t AND recipient_id = 'bob'", t=office.desk.tenant)
    await office.tick()
    assert await office.people() == ["ada"]
    assert [(run.accepted, run.left_out) for run in await office.runs(schedule)] == [(1, {"unknown_recipient": 1})]


async def test_an_erasure_leaves_the_schedule_of_others_and_nothing_of_the_person(office: Office) -> None:
    many = await office.schedule(key="many", recipients=["ada", "bob"], timezone="recipient")
    alone = [
        await office.schedule(key="one", recipient_id="bob"),
        await office.schedule(key="list", recipients=["bob"], timezone="recipient"),
    ]
    async with office.desk.database.transaction() as session:
        erasure = await erasures.erase(session, office.desk.tenant, "bob")
    assert erasure is not None
    assert (erasure.counts["schedules"], erasure.counts["schedule_turns"]) == (3, 3)
    assert list(await office.due_at(many)) == ["ada"]
    assert [await office.due_at(each) for each in alone] == [{}, {}]
    async with office.desk.database.transaction() as session:
        specs = [row.spec for row in await schedules.listed(session, office.desk.tenant, None, 10)]
    assert "bob" not in str(specs)
    assert [(spec["recipients"], spec["payload"]) for spec in specs] == [
        ([], {}),
        (["ada"], {"figure": 7}),
        ([], {}),
    ]


async def test_a_topic_is_sent_to_whoever_is_subscribed_by_then(office: Office) -> None:
    each = await office.schedule(key="each", topic="news", timezone="recipient")
    together = await office.schedule(key="together", topic="news")
    assert await office.due_at(each) == {}
    async with office.desk.database.transaction() as session:
        assert await topics.subscribe(session, office.desk.tenant, "news", "ada")
        assert await topics.subscribe(session, office.desk.tenant, "news", "bob")
        assert await topics.unsubscribe(session, office.desk.tenant, "news", "bob")
    assert list(await office.due_at(each)) == ["ada"]
    for schedule in (each, together):
        await office.overdue(schedule)
    await office.tick()
    assert await office.people() == ["ada", "ada"]


@pytest.mark.parametrize(
    "after", [{"topic": "views"}, {"topic": "news", "timezone": "UTC"}, {"recipient_id": "ada"}], ids=str
)
async def test_whoever_subscribes_while_a_schedule_leaves_their_topic_gets_nothing_of_it(
    office: Office, after: dict[str, Any]
) -> None:
    schedule = await office.schedule(topic="news", timezone="recipient")
    async with office.desk.database.transaction() as session:
        assert await topics.subscribe(session, office.desk.tenant, "news", "bob")
        moving = asyncio.create_task(office.schedule(**{"timezone": "recipient", **after}))
        await until_blocked(office.desk.database, moving)
    await moving
    assert "bob" not in await office.due_at(schedule)


async def test_whoever_unsubscribes_from_a_topic_that_a_schedule_leaves_keeps_what_they_are_subscribed_to(
    office: Office,
) -> None:
    schedule = await office.schedule(topic="news", timezone="recipient")
    await office.subscribe("bob", "news", "views")
    spec = {**schedule.spec, "topic": "views"}
    async with office.desk.database.transaction() as session:
        await schedules.put(session, office.desk.tenant, "daily", TYPE, spec)
        leaving = asyncio.create_task(office.unsubscribe("bob", "news"))
        await until_blocked(office.desk.database, leaving)
    await leaving
    assert list(await office.due_at(schedule)) == ["bob"]


async def test_whoever_unsubscribes_while_a_schedule_comes_to_their_topic_gets_nothing_of_it(office: Office) -> None:
    schedule = await office.schedule(topic="news", timezone="recipient")
    await office.subscribe("bob", "views")
    async with office.desk.database.transaction() as session:
        await schedules.put(session, office.desk.tenant, "daily", TYPE, {**schedule.spec, "topic": "views"})
        leaving = asyncio.create_task(office.unsubscribe("bob", "views"))
        await until_blocked(office.desk.database, leaving)
    await leaving
    assert await office.due_at(schedule) == {}


async def test_a_person_has_no_turn_of_what_is_sent_to_all_together(office: Office) -> None:
    """Nor have all together one of what is sent to each: left by whatever made it, it is nobody's."""
    together = await office.schedule(key="together", recipient_id="ada")
    each = await office.schedule(key="each", recipient_id="ada", timezone="recipient")
    for schedule, person in ((together, "bob"), (each, "")):
        await office.desk.query(
            "INSERT INTO schedule_turn (schedule_id, recipient_id, tenant, notification_type, timezone, due_at)"
            " VALUES (:id, :person, :t, :type, 'UTC', now() - interval '1 minute')",
            id=schedule.id,
            person=person,
            t=office.desk.tenant,
            type=TYPE,
        )
    assert await office.tick() == 0
    assert await office.people() == []


async def test_a_topic_without_subscribers_is_told_of(office: Office) -> None:
    schedule = await office.schedule(topic="news")
    await office.overdue(schedule)
    await office.tick()
    assert [run.skipped for run in await office.runs(schedule)] == ["nobody"]


async def test_more_people_than_one_statement_takes_are_all_sent_to(office: Office) -> None:
    people = await office.crowd(450)
    schedule = await office.schedule(recipients=people)
    await office.overdue(schedule)
    await office.tick()
    assert await office.people() == people
    assert [(run.accepted, run.finished_at is None) for run in await office.runs(schedule)] == [(450, False)]


async def test_large_payloads_of_each_by_themselves_go_out_in_smaller_numbers(office: Office) -> None:
    people = await office.crowd(40)
    schedule = await office.schedule(recipients=people, timezone="recipient", payload={"figure": "x" * 250_000})
    await office.overdue(schedule)
    assert await office.recurring.own_turns(office.desk.tenant, TYPE) == people_at_once(250_015)
    await office.tick()
    assert await office.people() == people
    assert [run.accepted for run in await office.runs(schedule)] == [40]


async def test_whoever_is_elsewhere_is_due_there(office: Office) -> None:
    await office.person("ada", "Asia/Tokyo")
    schedule = await office.schedule(recipients=["ada", "bob"], timezone="recipient")
    before = await office.due_at(schedule)
    assert (before["ada"].hour, before["bob"].hour) == (3, 12)
    await office.person("ada", "Asia/Kolkata")
    after = await office.due_at(schedule)
    assert (after["ada"].hour, after["ada"].minute, after["bob"]) == (6, 30, before["bob"])


async def test_a_turn_that_is_due_already_is_not_lost_by_a_journey(office: Office) -> None:
    schedule = await office.schedule(recipient_id="ada", timezone="recipient")
    await office.overdue(schedule)
    await office.person("ada", "Asia/Tokyo")
    await office.tick()
    assert await office.people() == ["ada"]
    assert (await office.due_at(schedule))["ada"].hour == 3


async def test_saving_it_again_keeps_what_is_due(office: Office) -> None:
    schedule = await office.schedule(recipient_id="ada")
    await office.overdue(schedule)
    before = await office.due_at(schedule)
    await office.schedule(recipient_id="ada", payload={"figure": 8})
    assert await office.due_at(schedule) == before
    await office.schedule("0 13 * * *", recipient_id="ada")
    assert [due.hour for due in (await office.due_at(schedule)).values()] == [13]


async def test_a_deleted_one_is_forgotten_and_a_run_of_it_ends(office: Office) -> None:
    schedule = await office.schedule(recipient_id="ada")
    await office.overdue(schedule)
    await office.recurring.shared_turns(office.desk.tenant, TYPE)
    async with office.desk.database.transaction() as session:
        assert await schedules.delete(session, office.desk.tenant, "daily")
    await office.tick()
    assert await office.people() == []
    assert [run.skipped for run in await office.runs(schedule)] == ["schedule_deleted"]
    named = "SELECT 1 FROM schedule WHERE id = :id AND jsonb_exists_any(spec, '{payload,recipient_id,recipients}')"
    assert await office.desk.query(named, id=schedule.id) == []
