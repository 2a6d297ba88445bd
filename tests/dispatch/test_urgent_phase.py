"""Reserve slots for a moment after the claim of an urgent notification, in all processes of a host."""

import socket

import pytest
from sqlalchemy import text

from dispatch.urgent_phase import PHASE_SECONDS, UrgentPhase
from storage.claims import Slots, resolve_slots
from tests.api_tenants import ApiTenant
from tests.engine import Engine
from tests.polling import eventually, wait_until

SLOTS = Slots(total=8, reserved=2)
NOW = 1_000.0
NOTIFY = text("SELECT pg_notify('tocsin_urgent', :host)")


def test_most_slots_are_reserved_for_a_moment() -> None:
    phase = UrgentPhase(SLOTS)
    assert phase.slots_at(NOW) == SLOTS
    phase.begin(NOW)
    assert phase.slots_at(NOW).reserved == 6
    assert phase.slots_at(NOW + PHASE_SECONDS) == SLOTS


def test_one_of_three_slots_is_always_reserved_and_two_for_a_moment() -> None:
    phase = UrgentPhase(resolve_slots(3))
    assert phase.slots_at(NOW) == Slots(total=3, reserved=1)
    phase.begin(NOW)
    assert phase.slots_at(NOW) == Slots(total=3, reserved=2)


def test_claims_that_follow_closely_are_announced_once() -> None:
    phase = UrgentPhase(SLOTS)
    assert [phase.should_announce(NOW + delay) for delay in (0, 0.05, 0.15)] == [True, False, True]


@pytest.mark.parametrize("slots", [Slots(total=1, reserved=0), Slots(total=2, reserved=1), Slots(total=4, reserved=3)])
def test_other_notifications_keep_a_slot_and_reserved_slots_stay_reserved(slots: Slots) -> None:
    phase = UrgentPhase(slots)
    phase.begin(NOW)
    assert phase.slots_at(NOW) == slots


@pytest.mark.postgres
@pytest.mark.temporal
async def test_an_urgent_claim_reserves_slots_and_is_announced(engine: Engine, api_tenant: ApiTenant) -> None:
    announced: list[object] = []
    connection = await engine.container.database.dedicated()
    await connection.add_listener("tocsin_urgent", lambda *heard: announced.append(heard[-1]))
    await api_tenant.put_type("password", ["email"], priority=1)
    await api_tenant.put_recipient("ada", email="ada@example.com")
    reserved = []

    async def send() -> bool:
        await api_tenant.wait_until_finished(await api_tenant.send("password"))
        reserved.append(engine.container.dispatcher.reserved_slots)
        return True

    await eventually(send, lambda _: 3 in reserved)
    await wait_until(lambda: socket.gethostname() in announced)
    await connection.close()


@pytest.mark.postgres
@pytest.mark.temporal
async def test_an_urgent_claim_of_another_process_counts_if_it_shares_the_host(engine: Engine) -> None:
    dispatcher = engine.container.dispatcher
    await wait_until(lambda: dispatcher.reserved_slots == 1)  # of other tests
    dispatcher.note_urgent_claim("another-host")
    assert dispatcher.reserved_slots == 1

    async def notify() -> int:
        async with engine.container.database.transaction() as session:
            await session.execute(NOTIFY, {"host": socket.gethostname()})
        return dispatcher.reserved_slots

    await eventually(notify, lambda reserved: reserved == 3)
