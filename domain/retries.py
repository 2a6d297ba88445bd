"""How long to wait before the next attempt, and when to stop. Pure: the workflow brings clock and dice."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

FIRST_DELAY = timedelta(seconds=1)
MAX_DELAY = timedelta(minutes=5)
MAX_FALLBACK_ATTEMPTS = 4
# Reasons of outcomes that are about us: a process that stood still or was lost says nothing of the provider.
INTERNAL_REASONS = frozenset({"stalled", "worker_lost"})
# So many of them use up none of an endpoint's attempts; those that follow do, so that every delivery ends.
MAX_INTERNAL_FAILURES = 50
FALLBACK_GIVE_UP_AFTER = timedelta(seconds=60)
RAND_STEPS = 1_000_000
# How long before the end the last attempt begins.
LAST_ATTEMPT_LEAD = timedelta(seconds=1)


def backoff(attempt_number: int, rand: float, retry_after: timedelta | None) -> timedelta:
    """1 s, 2 s, 4 s … 5 min, each plus up to a quarter of jitter (`dice` in [0, 1)), never before Retry-After."""
    doubled_delay: timedelta = FIRST_DELAY * (1 << min(attempt_number - 1, 20))
    regular_time = min(doubled_delay, MAX_DELAY) * (1 + rand / 4)
    return max(regular_time, retry_after or timedelta())


def rand_of(attempt_id: UUID) -> float:
    """The same for the same attempt, so that the workflow waits as long as its row says."""
    return attempt_id.int % RAND_STEPS / RAND_STEPS


def capped_retry_after(retry_after: timedelta) -> timedelta:
    """Return how long a vendor's Retry-After is obeyed: a longer one would outlast what is left to try."""
    return min(retry_after, MAX_DELAY)


# When a vendor is asked for a lost answer, counted from when it was lost.
LOOKUP_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1_800, 3_600))


def lookup_times(window: timedelta) -> list[timedelta]:
    """Ever more rarely, and for the last time when its records must have settled; none where it cannot be asked."""
    return [*(at for at in LOOKUP_DELAYS if at < window), window] if window else []


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptBudget:
    """`tries` is None where only time counts. `deadline` is absolute."""

    max_attempts: int | None
    deadline: datetime

    @classmethod
    def of_step(
        cls, *, first_attempt: datetime, is_last_step: bool, give_up_after: timedelta, expires_at: datetime | None
    ) -> "AttemptBudget":
        ends = first_attempt + (give_up_after if is_last_step else min(FALLBACK_GIVE_UP_AFTER, give_up_after))
        deadline = min(ends, expires_at) if expires_at else ends
        return cls(max_attempts=None if is_last_step else MAX_FALLBACK_ATTEMPTS, deadline=deadline)

    def last_attempt_time(self, attempts_made: int, regular_time: datetime) -> datetime | None:
        """The moment for one more attempt at the end, if only the vendor's Retry-After goes beyond it. `ordinary` is
        when it would be without."""
        return (
            max(regular_time, self.deadline - LAST_ATTEMPT_LEAD) if self.allows(attempts_made, regular_time) else None
        )

    def allows(self, attempts_made: int, next_attempt: datetime) -> bool:
        return (self.max_attempts is None or attempts_made < self.max_attempts) and next_attempt < self.deadline
