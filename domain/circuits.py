"""Compute the circuit state and the weight of one provider from the outcomes of its calls. Pure: the caller passes
the time.

The weight follows the method that GOV.UK Notify has published: minus ten points after more than 50 errors in a
minute, or when at least 15 % of the calls are slow, at most once a minute, then a slow recovery.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.stored_enums import StoredEnum

MEMORY_SECONDS = 60  # seconds
WINDOW_SECONDS = 30
MIN_ERRORS = 5
ERROR_SHARE = 0.5
MIN_CALLS = 10
SLOW_SHARE = 0.5
CREDENTIAL_FAILURE_LIMIT = 3
FIRST_COOL_DOWN = timedelta(seconds=5)
MAX_COOL_DOWN = timedelta(minutes=5)
CREDENTIALS_COOL_DOWN = timedelta(minutes=1)
# How long a provider is not called after a 429: the default if the vendor names no time, and the maximum.
DEFAULT_THROTTLE = timedelta(seconds=1)
MAX_THROTTLE = timedelta(minutes=5)
PROBES = 3
PROBE_TIMEOUT = timedelta(seconds=30)

PENALTY_STEP = 10  # points
MAX_ERRORS_PER_MINUTE = 50
MAX_SLOW_SHARE_PER_MINUTE = 0.15
MIN_CALLS_PER_MINUTE = 20
PENALTY_INTERVAL = timedelta(minutes=1)
PENALTY_AFTER_OUTAGE = 30
MAX_PENALTY = 100

CREDENTIALS = "credentials_refused"


class CircuitState(StoredEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallTally:
    """Count the calls of one process since its last report. `errors` are of different deliveries, so that one bad
    message opens no circuit. `credential_failures` are hashes of the recipients whose messages met refused
    credentials. `throttled_for` is how much longer the vendor refuses calls."""

    calls: int = 0
    errors: int = 0
    slow: int = 0
    credential_failures: tuple[str, ...] = ()
    throttled_for: timedelta = timedelta()

    @property
    def successes(self) -> int:
        return self.calls - self.errors - len(self.credential_failures)


@dataclass(frozen=True, kw_only=True, slots=True)
class CircuitHealth:
    """Hold the health of a provider. `recent` holds `(second, calls, errors, slow)` of the last minute. `probes` are
    the calls that a half-open circuit still admits; `open_count` counts those since the circuit was last closed. The
    vendor refuses calls until `throttled_until`, although it may be healthy. `lookup_refused`: the account may send,
    and may not look up messages."""

    provider: str
    changed_at: datetime
    penalty_updated_at: datetime
    state: CircuitState = CircuitState.CLOSED
    reason: str | None = None
    penalty: int = 0
    open_count: int = 0
    probes: int = 0
    probe_at: datetime | None = None
    throttled_until: datetime | None = None
    recent: tuple[tuple[int, int, int, int], ...] = ()
    credential_failures: tuple[str, ...] = ()
    lookup_refused: bool = False

    @property
    def is_circuit_closed(self) -> bool:
        return self.state is CircuitState.CLOSED

    @property
    def changes_with_time(self) -> bool:
        """Return whether time alone may change the health."""
        return not self.is_circuit_closed or bool(self.penalty) or self.throttled_until is not None

    def is_throttled(self, now: datetime) -> bool:
        return self.throttled_until is not None and self.throttled_until > now


def advance_health(health: CircuitHealth, tally: CallTally, now: datetime) -> CircuitHealth:
    """Return the health after these calls. An empty tally applies the changes that depend on time alone."""
    health = _with_penalty(_with_calls(_with_throttle(health, tally, now), tally, now), now)
    match health.state:
        case CircuitState.CLOSED:
            reason = _opening_reason(health, now)
            return _open(health, reason, now) if reason else health
        case CircuitState.OPEN:
            due = health.probe_at is not None and health.probe_at <= now
            return _half_open(health, now) if due else health
        case CircuitState.HALF_OPEN:
            return _after_probes(health, tally, now)


def throttle_duration(retry_after: timedelta | None) -> timedelta:
    """Return how long a provider is not called after a 429."""
    return min(DEFAULT_THROTTLE if retry_after is None else retry_after, MAX_THROTTLE)


def _with_throttle(health: CircuitHealth, tally: CallTally, now: datetime) -> CircuitHealth:
    """Keep the longest requested throttling."""
    until = max(now + tally.throttled_for, health.throttled_until or now)
    return replace(health, throttled_until=until if until > now else None)


def _with_calls(health: CircuitHealth, tally: CallTally, now: datetime) -> CircuitHealth:
    second = int(now.timestamp())
    recent = tuple(each for each in health.recent if each[0] > second - MEMORY_SECONDS)
    if tally.calls:
        recent = (*recent, (second, tally.calls, tally.errors, tally.slow))
    known = (
        () if tally.successes else health.credential_failures
    )  # Credentials that another message passed with are valid.
    credential_failures = tuple(dict.fromkeys((*known, *tally.credential_failures)))[:CREDENTIAL_FAILURE_LIMIT]
    return replace(health, recent=recent, credential_failures=credential_failures)


def _sum_recent_calls(health: CircuitHealth, since: float) -> CallTally:
    chosen = [each for each in health.recent if each[0] >= since]
    calls, errors, slow = (sum(each[index] for each in chosen) for index in (1, 2, 3))
    return CallTally(calls=calls, errors=errors, slow=slow)


def _opening_reason(health: CircuitHealth, now: datetime) -> str | None:
    if len(health.credential_failures) >= CREDENTIAL_FAILURE_LIMIT:
        return CREDENTIALS
    seen = _sum_recent_calls(health, max(now.timestamp() - WINDOW_SECONDS, int(health.changed_at.timestamp())))
    if seen.errors >= MIN_ERRORS and seen.errors >= ERROR_SHARE * seen.calls:
        return "errors"
    if seen.calls >= MIN_CALLS and seen.slow >= SLOW_SHARE * seen.calls:
        return "slow"
    return None


def _open(health: CircuitHealth, reason: str, now: datetime) -> CircuitHealth:
    cool_down = min(FIRST_COOL_DOWN * (1 << min(health.open_count, 10)), MAX_COOL_DOWN)
    if reason == CREDENTIALS:
        cool_down = max(cool_down, CREDENTIALS_COOL_DOWN)
    return replace(
        health,
        state=CircuitState.OPEN,
        reason=reason,
        open_count=health.open_count + 1,
        changed_at=now,
        probe_at=now + cool_down,
        probes=0,
    )


def _half_open(health: CircuitHealth, now: datetime) -> CircuitHealth:
    return replace(
        health, state=CircuitState.HALF_OPEN, probes=PROBES, changed_at=now, credential_failures=(), recent=()
    )


def _after_probes(health: CircuitHealth, tally: CallTally, now: datetime) -> CircuitHealth:
    if tally.errors or tally.credential_failures or tally.slow:
        word = CREDENTIALS if tally.credential_failures else "errors" if tally.errors else "slow"
        return _open(health, word, now)
    successes, waited = _sum_recent_calls(health, 0).calls, now - health.changed_at >= PROBE_TIMEOUT
    if successes >= PROBES or (successes and waited):
        return _close(health, now)
    # A probe whose process died reports no outcome.
    return _half_open(health, now) if waited else health


def _close(health: CircuitHealth, now: datetime) -> CircuitHealth:
    """Close the circuit at part of the weight, so that new traffic returns gradually."""
    return replace(
        health,
        state=CircuitState.CLOSED,
        reason=None,
        probe_at=None,
        probes=0,
        changed_at=now,
        penalty_updated_at=now,
        penalty=max(health.penalty, PENALTY_AFTER_OUTAGE),
    )


def _with_penalty(health: CircuitHealth, now: datetime) -> CircuitHealth:
    if now - health.penalty_updated_at < PENALTY_INTERVAL or health.state is not CircuitState.CLOSED:
        return health
    seen = _sum_recent_calls(health, now.timestamp() - MEMORY_SECONDS)
    is_slow = seen.calls >= MIN_CALLS_PER_MINUTE and seen.slow >= MAX_SLOW_SHARE_PER_MINUTE * seen.calls
    if seen.errors > MAX_ERRORS_PER_MINUTE or is_slow:
        return replace(health, penalty=min(health.penalty + PENALTY_STEP, MAX_PENALTY), penalty_updated_at=now)
    if health.penalty:
        return replace(health, penalty=max(0, health.penalty - PENALTY_STEP), penalty_updated_at=now)
    return replace(health, open_count=0) if health.open_count else health


def traffic_shares(pool: Mapping[str, int], healths: Mapping[str, CircuitHealth]) -> dict[str, int]:
    """Return each provider's current share of the pool's traffic. The others share what one has lost."""
    lost = {name: _lost_points(points, healths.get(name)) for name, points in pool.items()}
    available = [name for name in pool if name not in healths or healths[name].state is not CircuitState.OPEN]
    receiving = [name for name in available if not lost[name]] or available
    share = sum(lost.values()) / len(receiving) if receiving else 0
    return {name: round(points - lost[name] + (share if name in receiving else 0)) for name, points in pool.items()}


def _lost_points(points: int, health: CircuitHealth | None) -> int:
    if health is None:
        return 0
    match health.state:
        case CircuitState.CLOSED:
            return min(points, health.penalty)
        case CircuitState.HALF_OPEN:
            return points - points // 2  # The guard reroutes the calls that are not needed as probes.
        case CircuitState.OPEN:
            return points


def order_providers(pool: Mapping[str, int], healths: Mapping[str, CircuitHealth], rand: float) -> Sequence[str]:
    """Return the providers in the order of calls, open circuits last. `rand` in [0, 1) draws the first one by
    weight."""
    shares = traffic_shares(pool, healths)
    rest = sorted(pool, key=lambda name: name in healths and not healths[name].is_circuit_closed)
    drawn = _draw(shares, rand)
    return rest if drawn is None else [drawn, *(name for name in rest if name != drawn)]


def _draw(shares: Mapping[str, int], rand: float) -> str | None:
    left = rand * sum(shares.values())
    for name, share in shares.items():
        if left < share:
            return name
        left -= share
    return None
