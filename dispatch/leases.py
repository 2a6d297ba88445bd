"""A lease on work that one process at a time does. `Wakeups` renews it.

A holder that stands still loses it to another process and may go on with a step that it had begun. So all that is done
under a lease is claimed row by row, or is the same when it is done twice.
"""

import time
from uuid import uuid4

from storage import leases
from storage.statements import Executor

# Seconds. A holder that falls silent is replaced after TERM and one interval, which is less than five.
TERM = 3.0
RENEWALS_PER_TERM = 3


class Lease:
    """`is_held` is False as soon as this process cannot have renewed in time by its own clock."""

    def __init__(self, name: str, term: float = TERM) -> None:
        self.interval = term / RENEWALS_PER_TERM
        self._name = name
        self._term = term
        self._holder = uuid4()
        self._held_until = 0.0

    @property
    def is_held(self) -> bool:
        return time.monotonic() < self._held_until

    async def take(self, session: Executor) -> bool:
        """Take or renew it. True if it was not held before."""
        was_held = self.is_held
        # The database begins to count later than this: here the term ends first.
        asked_at = time.monotonic()
        is_taken = await leases.take(session, self._name, self._holder, self._term)
        self._held_until = asked_at + self._term if is_taken else 0.0
        return self.is_held and not was_held

    async def release(self, session: Executor) -> None:
        if self._held_until:
            self._held_until = 0.0
            await leases.release(session, self._name, self._holder)
