"""Test what a process counts of its own calls: each message once, but every probe of a circuit."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from domain.circuits import CircuitHealth, CircuitState, advance_health
from domain.evidence import CallResult
from domain.holds import throttling_hold
from providers.outcomes import TemporaryError
from providers.smtp.adapter import Smtp
from services.circuits import CircuitMonitor, ObservedCall
from services.outcome_translation import bare_outcome
from services.provider_calls import send_once as send
from storage.database import Database
from testing.vendors.smtp import MailServer
from tests.domain.ledgers import START, later
from tests.providers.harness_smtp import to
from tests.storage.databases import own_database

UNREACHABLE_DATABASE = "postgresql+asyncpg://nouser@127.0.0.1:1/none"


class CircuitSimulation:
    """Move one provider by recorded calls and time, as the database would do it."""

    def __init__(self) -> None:
        self.health = CircuitHealth(provider="p", changed_at=START, penalty_updated_at=START)
        self._circuits = CircuitMonitor(Database(UNREACHABLE_DATABASE))

    def note(
        self,
        delivery: UUID,
        result: CallResult = CallResult.NOT_ACCEPTED,
        reason: str = "connect_failed",
        started: float | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        started = time.monotonic() if started is None else started
        call = ObservedCall(
            provider="p",
            delivery_id=delivery,
            recipient=str(delivery),
            outcome=bare_outcome(result, reason, retry_after),
            deadline_share=0.0,
            started=started,
        )
        self._circuits.record_call(call)

    def look(self, seconds: float) -> CircuitState:
        self.health = advance_health(self.health, self._circuits.take_tally("p"), later(seconds))
        self._circuits.update_healths({"p": self.health})
        return self.health.state


def test_probes_with_messages_that_failed_before_reopen_a_circuit() -> None:
    """The messages that are held longest are sent first: they have been counted already."""
    ward, messages = CircuitSimulation(), [uuid4() for _ in range(5)]
    for message in messages:
        ward.note(message)
    assert ward.look(1) is CircuitState.OPEN
    assert ward.look(7) is CircuitState.HALF_OPEN
    for message in messages[:3]:
        ward.note(message)
    assert ward.look(8) is CircuitState.OPEN


def test_an_old_hanging_call_does_not_affect_a_half_open_circuit() -> None:
    ward, hanging = CircuitSimulation(), time.monotonic()
    for message in [uuid4() for _ in range(5)]:
        ward.note(message)
    assert ward.look(1) is CircuitState.OPEN
    assert ward.look(7) is CircuitState.HALF_OPEN
    ward.note(uuid4(), CallResult.UNKNOWN, "timeout", started=hanging)
    assert ward.look(8) is CircuitState.HALF_OPEN
    for _ in range(3):
        ward.note(uuid4(), CallResult.ACCEPTED, "")
    assert ward.look(9) is CircuitState.CLOSED


def test_retries_do_not_hide_a_dead_provider() -> None:
    """One new message a second, each retried after 1, 2, 4 … s."""
    ward = CircuitSimulation()
    due: dict[int, list[tuple[UUID, int]]] = {}
    for second in range(30):
        due.setdefault(second, []).append((uuid4(), 1))
        for message, tries in due.pop(second):
            ward.note(message)
            due.setdefault(second + 2 ** (tries - 1), []).append((message, tries + 1))
        if ward.look(second + 0.5) is CircuitState.OPEN:
            break
    assert ward.health.state is CircuitState.OPEN


def test_refusals_among_messages_that_pass_are_not_in_a_row() -> None:
    ward = CircuitSimulation()
    for _ in range(3):
        ward.note(uuid4(), CallResult.PERMANENT, "credentials_refused")
        ward.note(uuid4(), CallResult.ACCEPTED, "")
    assert ward.look(1) is CircuitState.CLOSED


def test_one_message_with_many_retries_opens_no_circuit() -> None:
    ward, message = CircuitSimulation(), uuid4()
    for second in range(20):
        ward.note(message)
        assert ward.look(second) is CircuitState.CLOSED


def test_a_retrying_message_is_never_the_only_probe_of_a_circuit() -> None:
    ward, bad = CircuitSimulation(), uuid4()
    for message in [bad, *(uuid4() for _ in range(4))]:
        ward.note(message)
    assert ward.look(1) is CircuitState.OPEN
    assert ward.look(7) is CircuitState.HALF_OPEN
    for _ in range(3):
        ward.note(bad)
    assert ward.look(8) is CircuitState.HALF_OPEN
    for _ in range(3):
        ward.note(uuid4(), CallResult.ACCEPTED, "")
    assert ward.look(9) is CircuitState.CLOSED


@pytest.mark.parametrize("reason", ["greylisted", "mailbox_full", "throttled"])
def test_a_reply_about_one_recipient_never_opens_a_circuit(reason: str) -> None:
    ward = CircuitSimulation()
    for second in range(20):
        ward.note(uuid4(), CallResult.NOT_ACCEPTED, reason)
        assert ward.look(second) is CircuitState.CLOSED


async def test_a_server_that_greylists_every_recipient_keeps_its_circuit_closed() -> None:
    ward = CircuitSimulation()
    async with MailServer(replies={"RCPT": "451 4.7.1 Greylisted, see you later"}).running() as server:
        for second in range(10):
            outcome = await send(Smtp(server.settings()), to())
            assert (outcome.result, outcome.reason) == (CallResult.NOT_ACCEPTED, "greylisted")
            ward.note(uuid4(), outcome.result, "greylisted")
            assert ward.look(second) is CircuitState.CLOSED


@pytest.mark.parametrize(("reason", "state"), [("quota_exceeded", "open"), ("region_not_enabled", "closed")])
def test_an_account_that_no_message_passes_opens_its_circuit(reason: str, state: str) -> None:
    ward = CircuitSimulation()
    for _ in range(3):
        ward.note(uuid4(), CallResult.PERMANENT, reason)
    assert ward.look(1) == state


def test_a_few_accepted_calls_close_a_circuit_with_little_traffic() -> None:
    ward = CircuitSimulation()
    ward.health = replace(ward.health, state=CircuitState.HALF_OPEN, probes=3)
    ward.look(0)
    ward.note(uuid4(), CallResult.ACCEPTED, "")
    assert ward.look(20) is CircuitState.HALF_OPEN
    assert ward.look(31) is CircuitState.CLOSED


def test_a_rate_limiting_vendor_is_healthy_and_throttled() -> None:
    ward = CircuitSimulation()
    for asked in (timedelta(seconds=30), None, timedelta(seconds=2)):
        ward.note(uuid4(), CallResult.NOT_ACCEPTED, "throttled", retry_after=asked)
    assert ward.look(0) is CircuitState.CLOSED
    assert ward.health.throttled_until is not None
    assert later(29) < ward.health.throttled_until <= later(30)


def test_a_single_message_that_is_throttled_again_and_again_opens_nothing() -> None:
    ward, message = CircuitSimulation(), uuid4()
    for second in range(20):
        ward.note(message, CallResult.NOT_ACCEPTED, "throttled")
        assert ward.look(second) is CircuitState.CLOSED


def throttled(provider: str, seconds: float) -> ObservedCall:
    return ObservedCall(
        provider=provider,
        delivery_id=uuid4(),
        recipient="ada",
        outcome=TemporaryError("throttled", retry_after=seconds),
        deadline_share=0.0,
        started=time.monotonic(),
    )


class TestOfSeveralProcesses:
    @pytest.fixture
    async def database(self, database_url: str) -> AsyncIterator[Database]:
        async with own_database(database_url) as database:
            yield database

    @pytest.mark.postgres
    async def test_a_throttle_applies_immediately_and_in_others_within_one_poll(self, database: Database) -> None:
        """The database's clock decides: a machine with a wrong clock does not call too early."""
        throttled_process, other = CircuitMonitor(database), CircuitMonitor(database)
        throttled_process.record_call(throttled("smtp", 60))
        async with database.transaction() as session:
            now = datetime.now(UTC)
            assert await throttled_process.find_hold(session, "smtp", now) == throttling_hold("smtp")
            assert await other.find_hold(session, "smtp", now) is None
            assert await throttled_process.find_hold(session, "sendgrid", now) is None
        for process in (throttled_process, other):
            await process.sync()
        async with database.transaction() as session:
            assert await other.find_hold(session, "smtp", now) == throttling_hold("smtp")
            assert await other.find_hold(session, "smtp", now + timedelta(seconds=61)) is None
