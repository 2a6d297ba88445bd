"""Reserve more slots for urgent notifications, in all processes of a host, while such notifications arrive.

All notifications that a host handles share its cores: each of them makes an urgent one slower.
"""

from dataclasses import replace

from storage.claims import Slots

# Since the last claim of an urgent notification. On a busy machine, such a notification takes about as long.
PHASE_SECONDS = 0.3
ANNOUNCE_INTERVAL = 0.1  # seconds: the other processes of the host are notified at most this often


class UrgentPhase:
    """Limit the notifications of priorities 3 to 5 to a quarter of the slots, at least one, during the phase. The
    caller passes the seconds of a monotonic clock."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._slots_in_phase = replace(slots, reserved=max(slots.reserved, slots.total - max(1, slots.total // 4)))
        self._ends_at = 0.0
        self._announced_at = -ANNOUNCE_INTERVAL

    def slots_at(self, now: float) -> Slots:
        return self._slots_in_phase if now < self._ends_at else self._slots

    def begin(self, now: float) -> None:
        """Begin or extend the phase, because a process of this host has claimed an urgent notification."""
        self._ends_at = now + PHASE_SECONDS

    def should_announce(self, now: float) -> bool:
        """Return whether to notify the other processes of the host of a claim: once per ANNOUNCE_INTERVAL."""
        if now - self._announced_at < ANNOUNCE_INTERVAL:
            return False
        self._announced_at = now
        return True
