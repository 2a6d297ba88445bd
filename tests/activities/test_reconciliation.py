"""`look_up`: what the vendor says of a call whose answer was lost, and what follows from it."""

import asyncio

import pytest

from domain.evidence import AttemptState
from domain.messages import LOOKUP_REFUSED, Result
from providers.outcomes import Accepted, LookupRefused, Temporary
from storage import erasures, provider_health, recipients
from tests.activities.conftest import Counter
from tests.storage.sends import Desk, Sent

pytestmark = pytest.mark.postgres
R = Result


async def lost(sent: Sent) -> None:
    """A call that the vendor may have taken."""
    await sent.claim()
    await sent.answer(AttemptState.UNKNOWN)


async def attempt(sent: Sent) -> tuple[str, str | None, str | None]:
    [row] = await sent.rows("attempt")
    return row["state"], row["reason"], row["provider_message_id"]


async def test_what_is_found_was_accepted_and_ends_it(counter: Counter, sent: Sent) -> None:
    await lost(sent)
    counter.sandbox.found = [Accepted(message_id="m-1")]
    told = await counter.look_up(sent.call())
    assert (told.result, told.finished) == (R.ACCEPTED, True)
    assert await attempt(sent) == ("accepted", None, "m-1")
    assert counter.sandbox.calls == []


async def test_nothing_found_proves_nothing_before_the_records_have_settled(counter: Counter, sent: Sent) -> None:
    await lost(sent)
    assert (await counter.look_up(sent.call())).result is R.UNKNOWN
    assert (await attempt(sent))[0] == "unknown"


async def test_nothing_found_at_the_end_proves_that_it_was_never_there(counter: Counter, sent: Sent) -> None:
    await lost(sent)
    assert (await counter.look_up(sent.call(), final=True)).result is R.NOT_ACCEPTED
    assert await attempt(sent) == ("not_accepted", "proved_absent", None)


async def test_a_vendor_whose_records_lag_proves_no_absence(
    counter: Counter, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lost(sent)
    monkeypatch.setattr(type(counter.sandbox), "lookup", "positive_only")
    assert (await counter.look_up(sent.call(), final=True)).result is R.UNKNOWN


async def test_a_vendor_that_cannot_be_reached_proves_nothing(counter: Counter, sent: Sent) -> None:
    await lost(sent)
    counter.sandbox.found = Temporary("connect_failed")
    assert (await counter.look_up(sent.call(), final=True)).result is R.UNKNOWN


async def test_a_vendor_that_does_not_answer_proves_nothing(
    counter: Counter, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lost(sent)
    monkeypatch.setattr(type(counter.sandbox), "deadline", 0.05)
    counter.sandbox.found = None
    assert (await counter.look_up(sent.call(), final=True)).result is R.UNKNOWN


async def test_refused_lookups_of_two_attempts_are_believed_until_one_works(counter: Counter, desk: Desk) -> None:
    refused = LookupRefused("email_activity_not_available")
    first, second = await desk.send(), await desk.send()
    for sent, answer, believed in ((first, refused, False), (first, refused, False), (second, refused, True)):
        await sent.claim()
        await sent.answer(AttemptState.UNKNOWN)
        counter.sandbox.found = answer
        told = await counter.look_up(sent.call(), final=True)
        assert (told.result, told.reason, told.provider) == (R.UNKNOWN, LOOKUP_REFUSED, "sandbox")
        assert (await attempt(sent))[0] == "unknown"
        assert await is_refused(desk) is believed
    counter.sandbox.found = []
    await counter.look_up(first.call())
    assert not await is_refused(desk)


async def is_refused(desk: Desk) -> bool:
    async with desk.database.transaction() as session:
        return (await provider_health.read_all(session))["sandbox"].lookup_refused


async def test_a_message_of_another_attempt_is_not_taken_for_this_one(counter: Counter, desk: Desk) -> None:
    """The same words went to the same address twice; the vendor keeps no reference of ours."""
    first, second = await desk.send(), await desk.send()
    await lost(second)
    await first.claim()
    await first.answer(AttemptState.ACCEPTED, "m-1")
    counter.sandbox.found = [Accepted(message_id="m-1")]
    assert (await counter.look_up(second.call())).result is R.UNKNOWN
    counter.sandbox.found = [Accepted(message_id="m-1"), Accepted(message_id="m-2")]
    assert (await counter.look_up(second.call())).result is R.ACCEPTED
    assert (await attempt(second))[2] == "m-2"


async def test_of_two_that_ask_at_the_same_moment_one_takes_the_message(counter: Counter, desk: Desk) -> None:
    """Both calls were lost, and the vendor has the words once."""
    twins = [await desk.send() for _ in range(2)]
    for twin in twins:
        await lost(twin)
    counter.sandbox.found = [Accepted(message_id="twin")]
    told = await asyncio.gather(*(counter.look_up(twin.call()) for twin in twins))
    assert sorted(each.result for each in told) == [R.ACCEPTED, R.UNKNOWN]


async def test_a_message_that_may_be_of_a_call_under_way_is_not_taken(counter: Counter, desk: Desk) -> None:
    """Its id is known once that call is answered; until then nothing is decided, not even at the end."""
    mine, rival = await desk.send(), await desk.send()
    await lost(mine)
    await rival.claim()
    counter.sandbox.found = [Accepted(message_id="rival")]
    for final in (False, True):
        assert (await counter.look_up(mine.call(), final=final)).result is R.UNKNOWN
    await rival.answer(AttemptState.ACCEPTED, "rival")
    assert (await counter.look_up(mine.call(), final=True)).reason == "proved_absent"


@pytest.mark.parametrize("difference", ["words", "address", "age"])
async def test_other_calls_under_way_leave_the_message_to_the_lookup(
    counter: Counter, desk: Desk, difference: str
) -> None:
    mine, other = await desk.send(), await desk.send()
    await lost(mine)
    await other.claim()
    change = {
        "words": """UPDATE delivery SET rendered_content = '{"subject": "Bye"}' WHERE notification_id = :id""",
        "address": "UPDATE attempt SET address_key = 'another' WHERE notification_id = :id",
        "age": "UPDATE attempt SET started_at = now() - interval '61 minutes' WHERE notification_id = :id",
    }
    await desk.query(change[difference], id=other.id)
    counter.sandbox.found = [Accepted(message_id=f"mine but for {difference}")]
    assert (await counter.look_up(mine.call())).result is R.ACCEPTED


async def test_with_another_address_nothing_found_proves_nothing(counter: Counter, sent: Sent) -> None:
    """The vendor is asked for the address that the person has now; the call went to the one before."""
    await lost(sent)
    async with sent.desk.database.transaction() as session:
        profile = {"contact": {"email": "new@example.com"}}
        await recipients.replace(session, sent.desk.tenant, sent.desk.recipient_id, profile)
    assert (await counter.look_up(sent.call(), final=True)).result is R.UNKNOWN


async def test_with_no_address_any_more_nobody_is_asked(counter: Counter, sent: Sent) -> None:
    await lost(sent)
    async with sent.desk.database.transaction() as session:
        await recipients.replace(session, sent.desk.tenant, sent.desk.recipient_id, {"contact": {}})
    counter.sandbox.found = [Accepted(message_id="m-1")]
    assert (await counter.look_up(sent.call(), final=True)).result is R.UNKNOWN


async def test_of_a_person_who_was_erased_nobody_is_asked(counter: Counter, sent: Sent) -> None:
    await lost(sent)
    async with sent.desk.database.transaction() as session:
        await erasures.erase(session, sent.desk.tenant, sent.desk.recipient_id)
    counter.sandbox.found = [Accepted(message_id="m-1")]
    told = await counter.look_up(sent.call(), final=True)
    assert (told.result, told.reason) == (R.UNKNOWN, "recipient_erased")


async def test_what_a_receipt_has_told_is_not_asked(counter: Counter, sent: Sent) -> None:
    await sent.claim()
    await sent.answer(AttemptState.ACCEPTED, "m-9")
    counter.sandbox.found = Temporary("connect_failed")
    assert (await counter.look_up(sent.call())).result is R.ACCEPTED


async def test_a_wait_for_evidence_begins_with_the_unknown_outcome(counter: Counter, sent: Sent) -> None:
    """In the same transaction: a receipt that comes a moment later finds somebody who waits."""

    async def lose() -> None:
        raise ConnectionResetError

    counter.sandbox.afterwards = lose
    with pytest.raises(ConnectionResetError):
        await counter.deliver(sent.call(reconciles=True))
    told = await counter.deliver(sent.call(reconciles=True))
    assert told.result is R.UNKNOWN
    [delivery] = await sent.rows("delivery")
    assert delivery["awaits"] == "sent"
