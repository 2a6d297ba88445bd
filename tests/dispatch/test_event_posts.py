"""Posting events: signed, again by the schedule, one endpoint never in the way of another."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
import standardwebhooks
from structlog.testing import capture_logs

from dispatch import event_calls
from dispatch.event_posts import EventPosts
from domain.event_webhooks import SCHEDULE
from domain.targets import Targets
from providers.guard import GuardedBackend, guarded
from providers.transport import Transport, outgoing_client
from storage import event_endpoints, event_posting
from storage.database import Database
from storage.event_posting import Room
from tests.dispatch.hooks import Hooks, delivered, open_hooks
from tests.polling import eventually
from tests.providers.harness_http import Reply
from tests.receivers import Receiver, open_receiver, verified

pytestmark = pytest.mark.postgres


@pytest.fixture
async def hooks(database: Database) -> AsyncIterator[Hooks]:
    """Claims are made over all tenants: there is nothing in the database but what the test puts there."""
    async with open_hooks(database) as hooks:
        await hooks.desk.query("TRUNCATE event_endpoint CASCADE")
        yield hooks


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as receiver:
        yield receiver


async def test_an_event_arrives_signed_and_is_done_with(hooks: Hooks, receiver: Receiver) -> None:
    row = await hooks.endpoint("shop", receiver.url)
    sent = await hooks.event()
    await hooks.post()
    [request] = receiver.requests
    told = verified(request, hooks.secret_of(row))
    assert (request.method, request.target, told["type"]) == ("POST", "/events", "notification.sent")
    assert told["data"]["notification_id"] == str(sent.id)
    message = await hooks.message("shop")
    assert request.headers["webhook-id"] == str(message["id"])
    assert (message["next_try_at"], message["last_status"], message["last_error"]) == (None, 204, None)
    assert message["delivered_at"] is not None
    [call] = message["calls"]
    assert (call["status"], call["error"]) == (204, None)


async def test_a_changed_byte_or_another_secret_is_noticed(hooks: Hooks, receiver: Receiver) -> None:
    row = await hooks.endpoint("shop", receiver.url)
    other = await hooks.endpoint("other", "http://127.0.0.1:9/", "notification.expired")
    await hooks.event()
    await hooks.post()
    [request] = receiver.requests
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verified(request, hooks.secret_of(other))
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(hooks.secret_of(row)).verify(request.body + b" ", dict(request.headers))


async def test_a_receiver_that_is_away_is_tried_by_the_table_and_then_given_up(
    hooks: Hooks, receiver: Receiver
) -> None:
    await hooks.endpoint("shop", receiver.url)
    await receiver.stop()
    await hooks.event()
    for tries, pause in enumerate([*SCHEDULE[1:], None], start=1):
        await hooks.now_is_the_time()
        await hooks.post()
        message = await hooks.message("shop")
        assert (message["tries"], message["last_status"], message["last_error"]) == (tries, None, "connect_failed")
        if pause is None:
            assert message["wait"] is None
        else:
            assert 0.9 * pause.total_seconds() - 2 < message["wait"] <= 1.1 * pause.total_seconds()
    assert message["given_up_at"] is not None
    assert message["delivered_at"] is None
    assert [call["error"] for call in message["calls"]] == ["connect_failed"] * 8


async def test_a_receiver_that_recovers_gets_the_same_message_with_the_same_id(
    hooks: Hooks, receiver: Receiver
) -> None:
    row = await hooks.endpoint("shop", receiver.url)
    await hooks.event()
    for status in (500, 404, 301, 200):
        receiver.reply = Reply(status=status, headers={"location": receiver.url})
        await hooks.now_is_the_time()
        await hooks.post()
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len({request.body for request in receiver.requests}) == 1
    assert len(receiver.requests) == 4, "a redirect was followed"
    for request in receiver.requests:
        verified(request, hooks.secret_of(row))
    message = await hooks.message("shop")
    errors = [call["error"] for call in message["calls"]]
    assert errors == ["status_500", "status_404", "status_301", None]
    assert (message["next_try_at"], message["given_up_at"], message["tries"]) == (None, None, 4)
    assert (await hooks.seen("shop")).failing_since is None


@pytest.mark.parametrize(
    ("said", "least", "most"), [("120", 118, 120), ("864000", 35_990, 36_000), ("nonsense", 0, 5.5), ("0", 0, 5.5)]
)
async def test_a_receiver_may_ask_for_more_time(
    hooks: Hooks, receiver: Receiver, said: str, least: float, most: float
) -> None:
    await hooks.endpoint("shop", receiver.url)
    receiver.reply = Reply(status=429, headers={"Retry-After": said})
    await hooks.event()
    await hooks.post()
    assert least < (await hooks.message("shop"))["wait"] <= most


async def test_an_answer_that_takes_too_long_is_a_failure(
    hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_calls, "DEADLINE", 0.1)
    await hooks.endpoint("shop", receiver.url)
    receiver.holding = True
    await hooks.event()
    await hooks.post()
    assert (await hooks.message("shop"))["last_error"] == "timeout"


async def test_an_endpoint_that_is_gone_is_disabled_at_once_and_the_others_are_told(
    hooks: Hooks, receiver: Receiver
) -> None:
    await hooks.endpoint("shop", receiver.url, "notification.sent")
    async with open_receiver() as other:
        row = await hooks.endpoint("audit", other.url, "notification.expired")
        receiver.reply = Reply(status=410)
        await hooks.event()
        with capture_logs() as logs:
            await hooks.post()
        [told] = other.requests
        assert verified(told, hooks.secret_of(row))["data"] == {"endpoint": "shop", "reason": "gone"}
        assert other.types == ["endpoint.disabled"]
    [said] = [log for log in logs if log["log_level"] == "error"]
    assert (said["endpoint"], said["reason"]) == ("shop", "gone")
    shop = await hooks.seen("shop")
    assert (shop.enabled, shop.disabled_reason) == (False, "gone")
    assert shop.disabled_at is not None
    message = await hooks.message("shop")
    assert (message["next_try_at"], message["last_status"]) == (None, 410)
    assert message["given_up_at"] is not None
    await hooks.event()
    await hooks.post()
    assert len(receiver.requests) == 1


async def failed_since(hooks: Hooks, since: str, last: str) -> bool:
    """Whether an endpoint is still enabled after one more failure."""
    await hooks.endpoint("shop", "http://127.0.0.1:9/")
    await hooks.move("shop", "failing_since", since)
    await hooks.move("shop", "failed_at", last)
    await hooks.event()
    await hooks.post()
    return (await hooks.seen("shop")).enabled


async def test_after_five_days_of_failure_it_is_disabled(hooks: Hooks) -> None:
    assert not await failed_since(hooks, "5 days", "10 hours")
    assert (await hooks.seen("shop")).disabled_reason == "failing"


async def test_before_that_it_is_not(hooks: Hooks) -> None:
    assert await failed_since(hooks, "4 days 23 hours", "10 hours")


async def test_a_failure_after_a_silence_does_not_disable_it(hooks: Hooks) -> None:
    assert await failed_since(hooks, "9 days", "7 days")


async def test_one_success_and_the_count_begins_again(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.endpoint("shop", receiver.url)
    await hooks.move("shop", "failing_since", "4 days")
    await hooks.event()
    await hooks.post()
    assert (await hooks.seen("shop")).failing_since is None


async def test_enabling_it_again_forgets_its_failures(hooks: Hooks, receiver: Receiver) -> None:
    await failed_since(hooks, "5 days", "1 hour")
    row = await hooks.endpoint("shop", receiver.url)
    assert (row.enabled, row.disabled_at, row.disabled_reason, row.failing_since) == (True, None, None, None)
    receiver.reply = Reply(status=500)
    await hooks.event()
    await hooks.post()
    assert (await hooks.seen("shop")).enabled


async def test_after_a_rotation_both_secrets_verify_for_a_day(hooks: Hooks, receiver: Receiver) -> None:
    old = hooks.secret_of(await hooks.endpoint("shop", receiver.url))
    async with hooks.desk.database.transaction() as session:
        row = await event_endpoints.rotate(session, hooks.desk.tenant, "shop")
    assert row is not None
    new = hooks.secret_of(row)
    assert new != old
    await hooks.event()
    await hooks.post()
    [request] = receiver.requests
    assert verified(request, old) == verified(request, new)
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    await hooks.move("shop", "previous_until", "1 second")
    await hooks.event()
    await hooks.post()
    verified(receiver.requests[1], new)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verified(receiver.requests[1], old)


async def test_a_slow_endpoint_does_not_hold_up_another(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.endpoint("slow", receiver.url)
    receiver.holding = True
    async with open_receiver() as quick:
        await hooks.endpoint("quick", quick.url)
        for _ in range(20):
            await hooks.event()
        running = asyncio.create_task(hooks.posts.run())
        try:
            await quick.got(20)
            assert len(receiver.requests) == Room().of_endpoint
            receiver.release()
            await receiver.got(20)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_an_endpoint_that_fails_has_one_place_until_something_gets_through(
    hooks: Hooks, receiver: Receiver
) -> None:
    await hooks.endpoint("shop", receiver.url)
    await hooks.move("shop", "failing_since", "1 hour")
    receiver.holding = True
    for _ in range(3):
        await hooks.event()
    await hooks.start()
    await receiver.got(1)
    await hooks.start()
    assert len(receiver.requests) == 1
    receiver.release()
    await hooks.posts.landed()
    await hooks.post()
    assert len(receiver.requests) == 3


async def under_way(database: Database, room: Room, *tenants: tuple[int, bool]) -> list[list[UUID]]:
    """Each tenant has that many endpoints, failing or not, with one message each: of whom one claim takes how many."""
    owners = []
    for endpoints, failing in tenants:
        async with open_hooks(database) as owner:
            owners.append(owner.desk.tenant)
            for number in range(endpoints):
                await owner.endpoint(str(number), "http://127.0.0.1:9/")
                if failing:
                    await owner.move(str(number), "failing_since", "1 hour")
            await owner.event()
    async with database.transaction() as session:
        claimed = await event_posting.claim(session, room, [])
    return [[post.id for post in claimed if post.tenant == owner] for owner in owners]


async def test_no_tenant_takes_all_places(hooks: Hooks, database: Database) -> None:
    room = Room(in_all=10, of_tenant=6)
    many, few = await under_way(database, room, (12, False), (2, False))
    assert (len(many), len(few)) == (6, 2)


async def test_tenants_take_turns_for_the_last_places(hooks: Hooks, database: Database) -> None:
    many, few = await under_way(database, Room(in_all=5, of_tenant=5), (12, False), (2, False))
    assert (len(many), len(few)) == (3, 2)


async def test_endpoints_that_fail_together_leave_places_to_the_others(hooks: Hooks, database: Database) -> None:
    failing, well = await under_way(database, Room(in_all=10, failing=4), (9, True), (9, False))
    assert (len(failing), len(well)) == (1, 9)


async def test_and_they_never_take_all_that_are_free(hooks: Hooks, database: Database) -> None:
    [failing] = await under_way(database, Room(in_all=10, failing=4), (9, True))
    assert len(failing) == 4


async def test_what_is_under_way_counts(hooks: Hooks, database: Database) -> None:
    await hooks.endpoint("shop", "http://127.0.0.1:9/")
    for _ in range(5):
        await hooks.event()
    room = Room(of_endpoint=3)
    async with database.transaction() as session:
        first = await event_posting.claim(session, room, [])
        assert len(first) == 3
        assert await event_posting.claim(session, room, first) == []
        assert len(await event_posting.claim(session, room, first[:1])) == 2


async def test_a_claim_neither_waits_for_another_nor_takes_the_same(hooks: Hooks, database: Database) -> None:
    await hooks.endpoint("shop", "http://127.0.0.1:9/")
    for _ in range(3):
        await hooks.event()
    async with asyncio.timeout(60), database.transaction() as one, database.transaction() as two:
        first = await event_posting.claim(one, Room(of_endpoint=2), [])
        second = await event_posting.claim(two, Room(of_endpoint=2), [])
    assert (len(first), len(second)) == (2, 1)
    assert not {post.id for post in first} & {post.id for post in second}


async def test_two_posters_never_post_the_same_message(hooks: Hooks, database: Database, receiver: Receiver) -> None:
    await hooks.endpoint("shop", receiver.url)
    async with outgoing_client() as client:
        another = EventPosts(database, Transport(client))
        for _ in range(30):
            await hooks.event()
        both = [asyncio.create_task(posts.run()) for posts in (hooks.posts, another)]
        try:
            await receiver.got(30)
            await eventually(lambda: hooks.messages("shop"), lambda seen: all(m["delivered_at"] for m in seen))
        finally:
            for running in both:
                running.cancel()
            await asyncio.gather(*both, return_exceptions=True)
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert len(ids) == len(set(ids)) == 30


async def test_what_a_killed_poster_had_begun_is_posted_again_with_the_same_id(
    hooks: Hooks, receiver: Receiver
) -> None:
    await hooks.endpoint("shop", receiver.url)
    await hooks.event()
    receiver.holding = True
    running = asyncio.create_task(hooks.posts.run())
    await receiver.got(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    message = await hooks.message("shop")
    assert 25 < message["wait"] <= 30
    await hooks.now_is_the_time()
    receiver.release()
    await hooks.post()
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert (await hooks.message("shop"))["delivered_at"] is not None


async def test_who_has_lost_the_lease_does_not_put_off_what_another_does(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.endpoint("shop", receiver.url)
    await hooks.event()
    receiver.holding = True
    receiver.reply = Reply(status=500)
    await hooks.start()
    await receiver.got(1)
    await hooks.desk.query("UPDATE event_message SET next_try_at = now() + interval '7 seconds', tries = 5")
    receiver.release()
    await hooks.posts.landed()
    message = await hooks.message("shop")
    assert (message["tries"], message["last_status"]) == (5, None)
    assert 0 < message["wait"] <= 7


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::ffff:7f00:1]:{port}/"]
)
async def test_private_addresses_get_nothing(hooks: Hooks, database: Database, receiver: Receiver, url: str) -> None:
    async with outgoing_client(guarded(GuardedBackend(Targets(ports=frozenset()), fails_after=0))) as client:
        posts = EventPosts(database, Transport(client))
        await hooks.endpoint("inside", url.format(port=receiver.port))
        await hooks.event()
        await posts.post_due()
        await posts.landed()
    assert receiver.requests == []
    message = await hooks.message("inside")
    assert (message["last_error"], message["last_status"]) == ("connect_failed", None)
    assert message["wait"] > 0


async def test_what_breaks_in_us_is_a_failure_of_that_post_alone(hooks: Hooks, receiver: Receiver) -> None:
    row = await hooks.endpoint("broken", receiver.url)
    await hooks.endpoint("shop", receiver.url)
    empty = hooks.desk.database.encryption.encrypt("", event_endpoints.owner_of(row.tenant, row.id), "secret")
    await hooks.desk.query("UPDATE event_endpoint SET secret = :empty WHERE key = 'broken'", empty=empty)
    await hooks.event()
    await hooks.post()
    broken, shop = await hooks.message("broken"), await hooks.message("shop")
    assert (broken["last_error"], broken["tries"], shop["last_error"]) == ("internal", 1, None)
    assert broken["wait"] > 0


@pytest.mark.parametrize("url", ["http://[", "http://", "https://127.0.0.1:99999/", "no url", "http://\x7f/"])
async def test_an_address_that_is_none_is_tried_and_given_up_like_any(hooks: Hooks, url: str) -> None:
    """The API refuses them; what stands in a row all the same must not stop the poster."""
    await hooks.endpoint("odd", url)
    await hooks.event()
    await hooks.post()
    message = await hooks.message("odd")
    assert message["last_error"] in ("connect_failed", "internal")
    assert message["wait"] > 0


async def test_disabled_and_deleted_endpoints_get_nothing(hooks: Hooks, receiver: Receiver) -> None:
    for key in ("off", "gone", "on"):
        await hooks.endpoint(key, receiver.url)
    await hooks.event()
    await hooks.endpoint("off", receiver.url, enabled=False)
    async with hooks.desk.database.transaction() as session:
        assert await event_endpoints.remove(session, hooks.desk.tenant, "gone")
    await hooks.post()
    assert len(receiver.requests) == 1


async def test_what_falls_due_while_it_is_disabled_is_given_up_and_can_be_told_from_failures(hooks: Hooks) -> None:
    await hooks.endpoint("off", "http://127.0.0.1:9/")
    await hooks.event()
    await hooks.endpoint("off", "http://127.0.0.1:9/", enabled=False)
    await hooks.posts.tidy()
    message = await hooks.message("off")
    assert (message["next_try_at"], message["last_error"]) == (None, "endpoint_disabled")
    assert message["given_up_at"] is not None


async def test_messages_are_kept_for_thirty_days_unless_they_wait(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.endpoint("shop", receiver.url)
    old = await hooks.event()
    await hooks.post()
    waiting = await hooks.event()
    young = await hooks.event()
    await hooks.desk.query("UPDATE event_message SET occurred_at = now() - interval '31 days'")
    await hooks.desk.query(
        "UPDATE event_message SET next_try_at = NULL, occurred_at = now() - interval '29 days'"
        " WHERE notification_id = :id",
        id=young.id,
    )
    await hooks.posts.tidy()
    kept = {message["notification_id"] for message in await hooks.messages("shop")}
    assert kept == {waiting.id, young.id}
    assert old.id not in kept


async def test_a_deleted_endpoint_and_its_messages_go_in_the_end(hooks: Hooks, database: Database) -> None:
    async def rows(table: str) -> int:
        [row] = await hooks.desk.query(f"SELECT count(*) AS n FROM {table} WHERE tenant = :id", id=hooks.desk.tenant)
        return int(row["n"])

    await hooks.endpoint("gone", "http://127.0.0.1:9/")
    await hooks.event()
    async with database.transaction() as session:
        await event_endpoints.remove(session, hooks.desk.tenant, "gone")
    await hooks.posts.tidy()
    assert (await rows("event_message"), await rows("event_endpoint")) == (0, 1)
    await hooks.desk.query("UPDATE event_endpoint SET deleted_at = now() - interval '2 hours'")
    await hooks.posts.tidy()
    assert await rows("event_endpoint") == 0


async def test_of_very_many_tries_the_last_twenty_are_shown(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.endpoint("shop", receiver.url)
    await hooks.event()
    many: list[dict[str, Any]] = [{"at": "x", "status": number, "ms": 1, "error": "x"} for number in range(40)]
    await hooks.desk.query("UPDATE event_message SET calls = CAST(:calls AS jsonb)", calls=json.dumps(many))
    await hooks.post()
    calls = (await hooks.message("shop"))["calls"]
    assert [call["status"] for call in calls] == [*range(21, 40), 204]


async def test_nobody_is_named_in_the_log(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.endpoint("shop", receiver.url + "/secret-path")
    receiver.reply = Reply(status=410)
    await hooks.event()
    with capture_logs() as logs:
        await hooks.post()
    assert logs
    assert not any(word in str(logs) for word in ("ada", "secret-path", "127.0.0.1", "whsec_"))


async def test_a_delivered_event_follows_the_one_that_says_sent(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.endpoint("shop", receiver.url)
    sent = await hooks.event()
    await hooks.post()
    await delivered(sent)
    await hooks.post()
    assert receiver.types == ["notification.sent", "notification.delivered"]
