"""The slots of a process while urgent notifications arrive."""

import pytest

from dispatch.urgent_phase import PHASE_SECONDS, UrgentPhase
from storage.claims import Slots

SLOTS = Slots(total=8, reserved=2)
NOW = 1_000.0


def test_most_slots_are_reserved_for_a_moment_after_an_urgent_claim() -> None:
    phase = UrgentPhase(SLOTS)
    phase.note_claims([3, 2], NOW)
    assert phase.slots_at(NOW) == Slots(total=8, reserved=6)
    assert phase.slots_at(NOW + PHASE_SECONDS) == SLOTS


def test_other_claims_do_not_change_the_slots() -> None:
    phase = UrgentPhase(SLOTS)
    phase.note_claims([3, 4, 5], NOW)
    assert phase.slots_at(NOW) == SLOTS


@pytest.mark.parametrize("slots", [Slots(total=2, reserved=1), Slots(total=4, reserved=3)])
def test_other_notifications_keep_a_slot_and_reserved_slots_stay_reserved(slots: Slots) -> None:
    phase = UrgentPhase(slots)
    phase.note_claims([1], NOW)
    assert phase.slots_at(NOW) == slots
