"""Test `look_up`: what the vendor reports about a call with an unknown outcome, and its effects."""

import asyncio

import pytest

from domain.evidence import AttemptState, CallResult
from domain.messages import LOOKUP_REFUSED
from providers.outcomes import LookupRefused, ProviderAcceptance, TemporaryError
from storage import erasures, provider_health, recipients
from tests.activities.conftest import ActivityWorker
from tests.storage.sends import DatabaseSend, DatabaseTenant

pytestmark = pytest.mark.postgres
R = CallResult


async def record_lost_call(sent: DatabaseSend) -> None:
    """Return a call that the vendor may have accepted."""
    await sent.claim()
    await sent.answer(AttemptState.UNKNOWN)


async def attempt(sent: DatabaseSend) -> tuple[str, str | None, str | None]:
    [row] = await sent.rows("attempt")
    return row["state"], row["reason"], row["provider_message_id"]


async def test_a_found_message_is_accepted_and_ends_the_attempt(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await record_lost_call(sent)
    activity_worker.sandbox.found = [ProviderAcceptance(message_id="m-1")]
    outcome = await activity_worker.look_up(sent.call())
    assert (outcome.result, outcome.finished) == (R.ACCEPTED, True)
    assert await attempt(sent) == ("accepted", None, "m-1")
    assert activity_worker.sandbox.calls == []


async def test_nothing_found_proves_nothing_before_the_records_have_settled(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await record_lost_call(sent)
    assert (await activity_worker.look_up(sent.call())).result is R.UNKNOWN
    assert (await attempt(sent))[0] == "unknown"


async def test_nothing_found_at_the_end_proves_that_it_was_never_there(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await record_lost_call(sent)
    assert (await activity_worker.look_up(sent.call(), final=True)).result is R.NOT_ACCEPTED
    assert await attempt(sent) == ("not_accepted", "proved_absent", None)


async def test_lagging_records_prove_no_absence(
    activity_worker: ActivityWorker, sent: DatabaseSend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await record_lost_call(sent)
    monkeypatch.setattr(type(activity_worker.sandbox), "lookup", "positive_only")
    assert (await activity_worker.look_up(sent.call(), final=True)).result is R.UNKNOWN


async def test_a_vendor_that_cannot_be_reached_proves_nothing(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await record_lost_call(sent)
    activity_worker.sandbox.found = TemporaryError("connect_failed")
    assert (await activity_worker.look_up(sent.call(), final=True)).result is R.UNKNOWN


async def test_an_unresponsive_vendor_proves_nothing(
    activity_worker: ActivityWorker, sent: DatabaseSend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await record_lost_call(sent)
    monkeypatch.setattr(type(activity_worker.sandbox), "deadline", 0.05)
    activity_worker.sandbox.found = None
    assert (await activity_worker.look_up(sent.call(), final=True)).result is R.UNKNOWN


async def test_refused_lookups_of_two_attempts_count_until_one_works(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    refused = LookupRefused("email_activity_not_available")
    first, second = await database_tenant.send(), await database_tenant.send()
    for sent, answer, believed in ((first, refused, False), (first, refused, False), (second, refused, True)):
        await sent.claim()
        await sent.answer(AttemptState.UNKNOWN)
        activity_worker.sandbox.found = answer
        outcome = await activity_worker.look_up(sent.call(), final=True)
        assert (outcome.result, outcome.reason, outcome.provider) == (R.UNKNOWN, LOOKUP_REFUSED, "sandbox")
        assert (await attempt(sent))[0] == "unknown"
        assert await is_refused(database_tenant) is believed
    activity_worker.sandbox.found = []
    await activity_worker.look_up(first.call())
    assert not await is_refused(database_tenant)


async def is_refused(database_tenant: DatabaseTenant) -> bool:
    async with database_tenant.database.transaction() as session:
        return (await provider_health.read_health(session))["sandbox"].lookup_refused


async def test_a_message_of_another_attempt_is_not_taken_for_this_one(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    """The same content was sent to the same address twice; the vendor keeps no reference of ours."""
    first, second = await database_tenant.send(), await database_tenant.send()
    await record_lost_call(second)
    await first.claim()
    await first.answer(AttemptState.ACCEPTED, "m-1")
    activity_worker.sandbox.found = [ProviderAcceptance(message_id="m-1")]
    assert (await activity_worker.look_up(second.call())).result is R.UNKNOWN
    activity_worker.sandbox.found = [ProviderAcceptance(message_id="m-1"), ProviderAcceptance(message_id="m-2")]
    assert (await activity_worker.look_up(second.call())).result is R.ACCEPTED
    assert (await attempt(second))[2] == "m-2"


async def test_one_of_two_concurrent_lookups_takes_the_message(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    """Both responses were lost, and the vendor has the message once."""
    duplicates = [await database_tenant.send() for _ in range(2)]
    for duplicate in duplicates:
        await record_lost_call(duplicate)
    activity_worker.sandbox.found = [ProviderAcceptance(message_id="duplicate")]
    outcomes = await asyncio.gather(*(activity_worker.look_up(duplicate.call()) for duplicate in duplicates))
    assert sorted(each.result for each in outcomes) == [R.ACCEPTED, R.UNKNOWN]


async def test_a_message_that_may_belong_to_another_call_is_not_taken(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    """Its id is known after the response to that call; until then nothing is decided, not even at the end."""
    mine, rival = await database_tenant.send(), await database_tenant.send()
    await record_lost_call(mine)
    await rival.claim()
    activity_worker.sandbox.found = [ProviderAcceptance(message_id="rival")]
    for final in (False, True):
        assert (await activity_worker.look_up(mine.call(), final=final)).result is R.UNKNOWN
    await rival.answer(AttemptState.ACCEPTED, "rival")
    assert (await activity_worker.look_up(mine.call(), final=True)).reason == "proved_absent"


@pytest.mark.parametrize("difference", ["words", "address", "age"])
async def test_other_calls_under_way_leave_the_message_to_the_lookup(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant, difference: str
) -> None:
    mine, other = await database_tenant.send(), await database_tenant.send()
    await record_lost_call(mine)
    await other.claim()
    change = {
        "words": """UPDATE delivery SET rendered_content = '{"subject": "Bye"}' WHERE notification_id = :id""",
        "address": "UPDATE attempt SET address_hash = 'another' WHERE notification_id = :id",
        "age": "UPDATE attempt SET started_at = now() - interval '61 minutes' WHERE notification_id = :id",
    }
    await database_tenant.query(change[difference], id=other.id)
    activity_worker.sandbox.found = [ProviderAcceptance(message_id=f"mine but for {difference}")]
    assert (await activity_worker.look_up(mine.call())).result is R.ACCEPTED


async def test_with_another_address_nothing_found_proves_nothing(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    """The lookup uses the recipient's present address; the call used the one before."""
    await record_lost_call(sent)
    async with sent.database_tenant.database.transaction() as session:
        profile = {"contact": {"email": "new@example.com"}}
        await recipients.replace_profile(
            session, sent.database_tenant.tenant, sent.database_tenant.recipient_id, profile
        )
    assert (await activity_worker.look_up(sent.call(), final=True)).result is R.UNKNOWN


async def test_an_attempt_without_an_address_is_not_looked_up(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await record_lost_call(sent)
    async with sent.database_tenant.database.transaction() as session:
        await recipients.replace_profile(
            session, sent.database_tenant.tenant, sent.database_tenant.recipient_id, {"contact": {}}
        )
    activity_worker.sandbox.found = [ProviderAcceptance(message_id="m-1")]
    assert (await activity_worker.look_up(sent.call(), final=True)).result is R.UNKNOWN


async def test_an_attempt_of_an_erased_recipient_is_not_looked_up(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await record_lost_call(sent)
    async with sent.database_tenant.database.transaction() as session:
        await erasures.erase_at_once(session, sent.database_tenant.tenant, sent.database_tenant.recipient_id)
    activity_worker.sandbox.found = [ProviderAcceptance(message_id="m-1")]
    outcome = await activity_worker.look_up(sent.call(), final=True)
    assert (outcome.result, outcome.reason) == (R.UNKNOWN, "recipient_erased")


async def test_an_attempt_with_a_receipt_is_not_looked_up(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await sent.claim()
    await sent.answer(AttemptState.ACCEPTED, "m-9")
    activity_worker.sandbox.found = TemporaryError("connect_failed")
    assert (await activity_worker.look_up(sent.call())).result is R.ACCEPTED


async def test_a_wait_for_evidence_begins_with_the_unknown_outcome(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    """Both are one transaction: a receipt that arrives just after it finds a waiting workflow."""

    async def lose() -> None:
        raise ConnectionResetError

    activity_worker.sandbox.after_send = lose
    with pytest.raises(ConnectionResetError):
        await activity_worker.deliver(sent.call(waits_for_evidence=True))
    outcome = await activity_worker.deliver(sent.call(waits_for_evidence=True))
    assert outcome.result is R.UNKNOWN
    [delivery] = await sent.rows("delivery")
    assert delivery["awaited_evidence"] == "sent"
