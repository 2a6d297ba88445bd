"""Keep most slots of a process free for urgent notifications as long as these arrive.

All claimed notifications of a process share its core: each of them makes an urgent one slower.
"""

from collections.abc import Iterable
from dataclasses import replace

from domain.notification_types import URGENT_PRIORITY
from storage.claims import Slots

# Since the last claim of an urgent notification. On a busy machine, such a notification takes about as long.
PHASE_SECONDS = 0.4


class UrgentPhase:
    """Limit the notifications of priorities 3 to 5 to a quarter of the slots during the phase. The caller passes the
    seconds of a monotonic clock."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._slots_in_phase = replace(slots, reserved=max(slots.reserved, slots.total - max(1, slots.total // 4)))
        self._ends_at = 0.0

    def slots_at(self, now: float) -> Slots:
        return self._slots_in_phase if now < self._ends_at else self._slots

    def note_claims(self, priorities: Iterable[int], now: float) -> None:
        if any(priority <= URGENT_PRIORITY for priority in priorities):
            self._ends_at = now + PHASE_SECONDS
