"""Vendors with bad days, each of them real answers on a real wire; then outages, and how what waited drains."""

import asyncio
import time
from collections import Counter
from itertools import dropwhile
from typing import Any

from tests.faults.acts.table import fault, outage
from tests.faults.crowd import Sent
from tests.faults.kinds import AGAIN_MAIL, AGAIN_TEXT, ASK_MAIL, ASK_TEXT, PASSWORD, Kind
from tests.faults.pace import lasting
from tests.faults.scene import Scene
from tests.faults.surroundings import RESUME_RATE
from tests.faults.trickle import trickling
from tests.faults.vendor.moods import Mood
from tests.polling import eventually

MAILS, TEXTS = (ASK_MAIL, AGAIN_MAIL), (ASK_TEXT, AGAIN_TEXT, PASSWORD)
STATE = "SELECT state FROM provider_health WHERE provider = $1"
REASON = "SELECT reason FROM provider_health WHERE provider = $1 AND state <> 'closed'"
CALLED = "SELECT count(*) FROM attempt WHERE notification_id::text = ANY($1) AND id::text = ANY($2)"
REFUSED = "SELECT count(*) FROM attempt WHERE notification_id::text = ANY($1) AND reason = 'connect_failed'"
# A worker that the next fault killed during a call leaves a doubt, which is said and is no loss.
LOST = """
SELECT id::text, status, failure_reason FROM notification
 WHERE id::text = ANY($1) AND status NOT IN ('SENT', 'DELIVERED', 'OPENED', 'IN_DOUBT')
"""
MAILS_PER_SECOND, TEXTS_PER_SECOND = 5.0, 3.0
# What the other senders of the run, and repetitions, may add to the calls of one second.
ELSE_A_SECOND = 8
SHOWN = 15  # seconds
LOOKED_AT = 6.0  # seconds after a recovery


async def some_of(scene: Scene, kinds: tuple[Kind, ...]) -> list[Sent]:
    """A burst that is shared by the kinds, by both tenants, and by those of whom is reported and those of whom not."""
    asks = [
        scene.crowd.send(kinds[number % len(kinds)], number % 2, scene.dice.choice(("", "silent")))
        for number in range(scene.scale.burst)
    ]
    return list(await asyncio.gather(*asks))


def bad_day(name: str, what: str, *moods: Mood) -> None:
    """Both vendors that speak HTTP have such days, one after the other."""

    async def act(scene: Scene) -> None:
        for mood in moods:
            async with scene.desk.day(mood, "sendgrid", "twilio"):
                sent = await some_of(scene, (*MAILS, *TEXTS))
                await lasting(scene.scale.moment / len(moods))
                await met(scene, mood, sent)

    act.__name__, act.__doc__ = name, what
    fault(act)


async def met(scene: Scene, mood: Mood, sent: list[Sent]) -> None:
    """Until one of these was called on such a day: by the vendor's books, or by our rows where nobody was there."""
    ids = [each.id for each in sent]

    async def unlucky() -> int:
        if mood is Mood.CLOSED:
            return int(await scene.books.one(REFUSED, ids))
        references = [entry["reference"] for entry in scene.desk.ledger.of("call") if entry["mood"] == mood]
        return int(await scene.books.one(CALLED, ids, references))

    await eventually(unlucky, bool, within=20)


THROTTLED = (Mood.THROTTLED_SECONDS, Mood.THROTTLED_DATE, Mood.THROTTLED_ABSURD, Mood.THROTTLED_BARE)
bad_day("throttled", "429 with Retry-After in seconds, as a date, as nonsense, and without any.", *THROTTLED)
bad_day("server_error", "500 to everything, and nothing is taken.", Mood.ERROR)
bad_day("taken_then_500", "The message is taken, and the answer is 500.", Mood.TAKEN_500)
bad_day("taken_then_reset", "The message is taken, and the line is reset.", Mood.TAKEN_RESET)
bad_day("taken_then_hang", "The message is taken, and nothing is ever said.", Mood.TAKEN_HANG)
bad_day("slow_loris", "The message is taken, and the answer comes a byte at a time.", Mood.DRIP)
bad_day("malformed_answer", "2xx that nobody can read.", Mood.GARBLED)
bad_day("redirected", "302 to another address.", Mood.REDIRECT)
bad_day("ten_megabytes", "2xx with ten megabytes.", Mood.FLOOD)
bad_day("connection_refused", "Nobody listens.", Mood.CLOSED)


@fault
async def credentials_revoked(scene: Scene) -> None:
    """401 in the middle of a run, and given back: the circuit opens for it, and the other provider takes the e-mail."""
    async with scene.desk.day(Mood.UNAUTHORIZED, "sendgrid"):
        sent = await some_of(scene, MAILS) + await some_of(scene, MAILS)
        await eventually(lambda: scene.books.one(REASON, "sendgrid"), lambda why: why == "credentials_refused")
    nothing_lost(scene, "credentials_revoked", sent)


@outage
async def outage_of_one_of_two(scene: Scene) -> None:
    """One of two e-mail providers away for 20 s under load: the other carries it, and the return is no stampede."""
    async with trickling(lambda: scene.crowd.send(ASK_MAIL, word="silent"), MAILS_PER_SECOND, scene.dice) as load:
        async with scene.desk.day(Mood.CLOSED, "sendgrid"):
            began = time.time()
            await lasting(scene.scale.outage)
        back = time.time()
        # A circuit that was open for long is tried again ever more rarely.
        well = scene.scale.deadline
        await eventually(lambda: scene.books.one(STATE, "sendgrid"), lambda state: state == "closed", well)
        closed = time.time()
        await lasting(LOOKED_AT)
    carried, returned = rates(scene, "smtp", began, back), rates(scene, "sendgrid", back, time.time())
    scene.notes.append(
        f"sendgrid away {back - began:.0f} s: smtp carried {sum(carried) / len(carried):.1f}/s; circuit closed "
        f"{closed - back:.0f} s after the return, calls at sendgrid in each second: {listed(returned, closed - back)}"
    )
    assert max(returned) <= 2 * MAILS_PER_SECOND + ELSE_A_SECOND, f"a stampede: {returned}"
    nothing_lost(scene, "outage_of_one_of_two", load.sent)


@outage
async def outage_of_the_only_one(scene: Scene) -> None:
    """The only SMS provider away for 20 s under load: what waits goes out at the resume rate, and nothing is lost."""
    async with trickling(lambda: scene.crowd.send(ASK_TEXT, word="silent"), TEXTS_PER_SECOND, scene.dice) as load:
        async with scene.desk.day(Mood.CLOSED, "twilio"):
            began = time.time()
            await lasting(scene.scale.outage)
        back = time.time()
    await scene.reach(load.sent, len(load.sent), "accepted", within=scene.scale.deadline)
    drain = rates(scene, "twilio", back, time.time())
    scene.notes.append(
        f"twilio away {back - began:.0f} s, {len(load.sent)} texts; "
        f"calls in each second, from the first after its return: {listed(drain)}"
    )
    assert max(drain) <= RESUME_RATE * 1.2 + ELSE_A_SECOND, f"a stampede: {drain}"
    nothing_lost(scene, "outage_of_the_only_one", load.sent)


def rates(scene: Scene, provider: str, since: float, until: float) -> list[int]:
    """Calls in each second of that time, by the vendor's own books."""
    seen = Counter(int(entry["at"] - since) for entry in scene.desk.ledger.of("call", provider))
    return [seen[second] for second in range(max(1, int(until - since)))]


def listed(counts: list[int], since: float = 0.0) -> str:
    """From the first second with a call after so many seconds."""
    shown = list(dropwhile(lambda count: not count, counts[int(since) :]))
    return " ".join(map(str, shown[:SHOWN])) + (" ..." if len(shown) > SHOWN else "")


def nothing_lost(scene: Scene, name: str, sent: list[Sent]) -> None:
    async def lost() -> list[dict[str, Any]]:
        return await scene.books.rows(LOST, [each.id for each in sent])

    scene.checks[f"{name}: everything arrived"] = lost
