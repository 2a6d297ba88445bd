"""The write-ahead row of a call: it is written once, and the claim returns the facts that the guard decides by."""

import asyncio

import pytest

from domain.channels import Channel, DeviceKind
from domain.evidence import AttemptState
from domain.routing import LastAttempt
from storage import devices, erasures
from storage.attempts import claim_attempt
from storage.database import Database
from storage.devices import NewDevice
from storage.preferences import read_recipient_context
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres


async def test_a_new_claim_is_a_submitting_row_and_a_sending_delivery(sent: DatabaseSend) -> None:
    claim = await sent.claim()
    assert claim is not None
    assert claim.is_new
    [row] = await sent.rows("attempt")
    assert (row["id"], row["state"], row["provider"], row["number"]) == (sent.attempt(), "submitting", "sandbox", 1)
    assert row["finished_at"] is None
    assert [d["status"] for d in await sent.rows("delivery")] == ["SENDING"]


async def test_the_claim_holds_the_ledger_as_the_statement_left_it(sent: DatabaseSend) -> None:
    claim = await sent.claim()
    assert claim is not None
    assert claim.ledger == await sent.ledger()


async def test_a_claim_returns_the_input_of_the_call(sent: DatabaseSend) -> None:
    claim = await sent.claim()
    assert claim is not None
    assert (claim.recipient_id, claim.address.contact, claim.content) == (
        "ada",
        sent.database_tenant.contact,
        {"subject": "Hi"},
    )
    assert (claim.notification_type.id, claim.address.device) == (sent.database_tenant.type_id, None)


async def test_a_device_is_found_by_its_endpoint(database_tenant: DatabaseTenant) -> None:
    new = NewDevice(device="phone", kind=DeviceKind.FCM, address={"token": "t-1"})
    async with database_tenant.database.transaction() as session:
        saved = await devices.save(session, database_tenant.tenant, database_tenant.recipient_id, new)
    assert saved is not None
    sent = await database_tenant.send(Channel.PUSH)
    claim = await sent.claim(channel=Channel.PUSH, endpoint_id=str(saved[0].id))
    assert claim is not None
    assert claim.address.device == {"kind": "fcm", "token": "t-1"}


async def test_the_same_call_again_is_not_fresh_and_changes_nothing(sent: DatabaseSend) -> None:
    await sent.claim()
    before = await sent.row()
    again = await sent.claim()
    assert again is not None
    assert not again.is_new
    assert again.attempt.state is AttemptState.SUBMITTING
    assert await sent.row() == before
    assert len(await sent.rows("attempt")) == 1


async def test_the_next_attempt_is_fresh(sent: DatabaseSend) -> None:
    await sent.claim()
    await sent.answer(AttemptState.NOT_ACCEPTED)
    second = await sent.claim(2)
    assert second is not None
    assert second.is_new
    assert {a.number: a.state for a in second.ledger.attempts.values()} == {
        1: AttemptState.NOT_ACCEPTED,
        2: AttemptState.SUBMITTING,
    }


async def test_a_call_of_another_generation_gets_nothing(sent: DatabaseSend) -> None:
    assert await sent.claim(generation=2) is None
    assert await sent.rows("attempt") == []


async def test_a_call_of_another_tenant_gets_nothing(sent: DatabaseSend, database: Database) -> None:
    foreign = DatabaseSend(database_tenant=await open_database_tenant(database), id=sent.id, channels=sent.channels)
    assert await foreign.claim() is None
    assert await sent.rows("attempt") == []


async def test_an_erased_recipient_gets_no_call(sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        assert await erasures.erase_at_once(session, sent.database_tenant.tenant, "ada")
    assert await sent.claim() is None
    assert await sent.rows("attempt") == []


async def test_a_rolled_back_claim_leaves_no_row(sent: DatabaseSend) -> None:
    before = await sent.row()
    async with sent.database_tenant.database.transaction() as session:
        assert await claim_attempt(session, sent.call()) is not None
        await session.rollback()
    assert await sent.rows("attempt") == []
    assert await sent.row() == before
    assert [d["status"] for d in await sent.rows("delivery")] == ["PENDING"]


async def test_two_workers_with_the_same_call_claim_it_once(sent: DatabaseSend) -> None:
    """One was stopped past its time-out, another took over, and both go on."""
    async with sent.database_tenant.database.transaction() as session:
        first = await claim_attempt(session, sent.call())
        waiting = asyncio.create_task(sent.claim())
        await until_blocked(sent.database_tenant.database, waiting)
    second = await waiting
    assert first is not None
    assert second is not None
    assert (first.is_new, second.is_new) == (True, False)
    assert second.attempt.state is AttemptState.SUBMITTING
    assert second.ledger == await sent.ledger()


@pytest.mark.parametrize(
    ("states", "earlier_unknown_outcomes"),
    [
        ([], None),
        (["submitting"], 0),
        (["unknown"], 0),
        (["unknown", "submitting"], 1),
        (["unknown", "not_accepted", "unknown", "unknown"], 2),
        (["unknown", "not_accepted"], 1),
    ],
)
async def test_a_resumed_workflow_gets_unknown_outcomes_before_the_last_attempt(
    sent: DatabaseSend, states: list[str], earlier_unknown_outcomes: int | None
) -> None:
    for number, state in enumerate(states, 1):
        await sent.claim(number)
        if state != "submitting":
            await sent.answer(AttemptState(state), number=number)
    async with sent.database_tenant.database.transaction() as session:
        audience = await read_recipient_context(session, sent.id, sent.database_tenant.tenant)
    assert audience is not None
    last = LastAttempt(number=len(states), earlier_unknown_outcomes=earlier_unknown_outcomes or 0)
    assert list(audience.last_attempts.values()) == ([last] if states else [])
