"""How long to wait before the next attempt, and when to stop. Pure: the workflow brings clock and dice."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

FIRST_DELAY = timedelta(seconds=1)
LONGEST_DELAY = timedelta(minutes=5)
FALLBACK_TRIES = 4
# Reasons of outcomes that are about us: a process that stood still or was lost says nothing of the provider.
OURS = frozenset({"stalled", "worker_lost"})
# So many of them use up none of an endpoint's attempts; those that follow do, so that every delivery ends.
MOST_OF_OURS = 50
FALLBACK_PATIENCE = timedelta(seconds=60)
DICE = 1_000_000
# How long before the end the last attempt begins.
A_MOMENT = timedelta(seconds=1)


def backoff(attempt_number: int, dice: float, retry_after: timedelta | None) -> timedelta:
    """1 s, 2 s, 4 s … 5 min, each plus up to a quarter of jitter (`dice` in [0, 1)), never before Retry-After."""
    doubled: timedelta = FIRST_DELAY * (1 << min(attempt_number - 1, 20))
    ordinary = min(doubled, LONGEST_DELAY) * (1 + dice / 4)
    return max(ordinary, retry_after or timedelta())


def dice_of(attempt_id: UUID) -> float:
    """The same for the same attempt, so that the workflow waits as long as its row says."""
    return attempt_id.int % DICE / DICE


def obeyed(retry_after: timedelta) -> timedelta:
    """Return how long a vendor's Retry-After is obeyed: a longer one would outlast what is left to try."""
    return min(retry_after, LONGEST_DELAY)


# When a vendor is asked for a lost answer, counted from when it was lost.
ASK_AT = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1_800, 3_600))


def asking_times(window: timedelta) -> list[timedelta]:
    """Ever more rarely, and for the last time when its records must have settled; none where it cannot be asked."""
    return [*(at for at in ASK_AT if at < window), window] if window else []


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """`tries` is None where only time counts. `deadline` is absolute."""

    tries: int | None
    deadline: datetime

    @classmethod
    def of_step(
        cls, *, first_attempt: datetime, last_step: bool, patience: timedelta, expires_at: datetime | None
    ) -> "Budget":
        ends = first_attempt + (patience if last_step else min(FALLBACK_PATIENCE, patience))
        deadline = min(ends, expires_at) if expires_at else ends
        return cls(tries=None if last_step else FALLBACK_TRIES, deadline=deadline)

    def last_chance(self, attempts_made: int, ordinary: datetime) -> datetime | None:
        """The moment for one more attempt at the end, if only the vendor's Retry-After goes beyond it. `ordinary` is
        when it would be without."""
        return max(ordinary, self.deadline - A_MOMENT) if self.allows(attempts_made, ordinary) else None

    def allows(self, attempts_made: int, next_attempt: datetime) -> bool:
        return (self.tries is None or attempts_made < self.tries) and next_attempt < self.deadline
