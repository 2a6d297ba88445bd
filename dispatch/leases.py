"""Hold a lease on work that one process does at a time. `NotifyListener` renews it.

A stalled holder loses the lease to another process and may finish a step that it had begun. So all work under a
lease is claimed row by row, or is idempotent.
"""

import time
from uuid import uuid4

from storage import processes
from storage.statements import Executor

# Seconds. A holder that stops renewing is replaced after LEASE_TTL and one interval, which is less than five.
LEASE_TTL = 3.0
RENEWALS_PER_TTL = 3


class ProcessLease:
    """Hold the lease. `is_held` is False as soon as this process cannot have renewed in time by its own clock."""

    def __init__(self, name: str, ttl: float = LEASE_TTL) -> None:
        self.renewal_interval = ttl / RENEWALS_PER_TTL
        self._name = name
        self._ttl = ttl
        self._holder = uuid4()
        self._held_until = 0.0

    @property
    def is_held(self) -> bool:
        return time.monotonic() < self._held_until

    async def acquire(self, session: Executor) -> bool:
        """Acquire or renew the lease. Return True if it was not held before."""
        was_holder = self.is_held
        # The database starts the term later, so that the term ends here first.
        requested_at = time.monotonic()
        is_acquired = await processes.acquire_lease(session, self._name, self._holder, self._ttl)
        self._held_until = requested_at + self._ttl if is_acquired else 0.0
        return self.is_held and not was_holder

    async def release(self, session: Executor) -> None:
        if self._held_until:
            self._held_until = 0.0
            await processes.release_lease(session, self._name, self._holder)
