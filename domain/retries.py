"""Compute delays between attempts and when to stop. Pure: the workflow passes time and randomness."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

FIRST_DELAY = timedelta(seconds=1)
MAX_DELAY = timedelta(minutes=5)
MAX_FALLBACK_ATTEMPTS = 4
# Reasons of internal failures: a process that stalled or was lost says nothing about the provider.
INTERNAL_REASONS = frozenset({"stalled", "worker_lost"})
# This many of them use up none of an endpoint's attempts. Further ones do, so that every delivery ends.
MAX_INTERNAL_FAILURES = 50
FALLBACK_GIVE_UP_AFTER = timedelta(seconds=60)
RAND_STEPS = 1_000_000
# How long before the end the last attempt begins.
LAST_ATTEMPT_LEAD = timedelta(seconds=1)


def backoff(attempt_number: int, rand: float, retry_after: timedelta | None) -> timedelta:
    """Return 1 s, 2 s, 4 s … 5 min, plus up to a quarter of jitter (`rand` in [0, 1)), never less than Retry-After."""
    doubled_delay: timedelta = FIRST_DELAY * (1 << min(attempt_number - 1, 20))
    regular_time = min(doubled_delay, MAX_DELAY) * (1 + rand / 4)
    return max(regular_time, retry_after or timedelta())


def rand_of(attempt_id: UUID) -> float:
    """Return the same number for the same attempt, so that the workflow waits as long as its row shows."""
    return attempt_id.int % RAND_STEPS / RAND_STEPS


def capped_retry_after(retry_after: timedelta) -> timedelta:
    """Return how long a vendor's Retry-After is obeyed: a longer one would exceed the time left for attempts."""
    return min(retry_after, MAX_DELAY)


# When a message with an unknown outcome is looked up, counted from the call.
LOOKUP_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1_800, 3_600))


def lookup_times(window: timedelta) -> list[timedelta]:
    """Return the delays of lookups, which grow up to the end of the settle window; none without a window."""
    return [*(at for at in LOOKUP_DELAYS if at < window), window] if window else []


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptBudget:
    """Limit the attempts. `max_attempts` is None if only time counts. `deadline` is absolute."""

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
        """Return when a last attempt begins if only the vendor's Retry-After exceeds the deadline. `regular_time` is
        the time without it."""
        return (
            max(regular_time, self.deadline - LAST_ATTEMPT_LEAD) if self.allows(attempts_made, regular_time) else None
        )

    def allows(self, attempts_made: int, next_attempt: datetime) -> bool:
        return (self.max_attempts is None or attempts_made < self.max_attempts) and next_attempt < self.deadline
