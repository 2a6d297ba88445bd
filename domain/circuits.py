"""The circuit and the weight of one provider: pure moves from what its calls came to. The caller brings the clock.

The weight follows the method that GOV.UK Notify has published: ten points less after more than 50 errors in a minute,
or when at least 15 % of the calls are slow, at most once a minute, and then slowly back.
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
# How long nobody calls who is told "too many": if the vendor does not say, and at most.
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
    """What one process saw of a provider since it last told. `errors` are of different deliveries, so that one bad
    message opens nothing; `credential_failures` stand for the people whose messages met refused credentials; `quiet` is how much
    longer the vendor wants no calls."""

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
    """`recent` holds `(second, calls, errors, slow)` of the last minute. `probes` are the calls that a half-open
    circuit still lets through; `openings` counts those since it was last well. Until `throttled_until` the vendor wants no
    calls, well as it may be. `lookup_refused`: our account may send, and may not look up what became of a message."""

    provider: str
    changed_at: datetime
    penalty_updated_at: datetime
    state: CircuitState = CircuitState.CLOSED
    reason: str | None = None
    penalty: int = 0
    openings: int = 0
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
        """Time alone changes it."""
        return not self.is_circuit_closed or bool(self.penalty) or self.throttled_until is not None

    def is_throttled(self, now: datetime) -> bool:
        return self.throttled_until is not None and self.throttled_until > now


def advance_health(health: CircuitHealth, tally: CallTally, now: datetime) -> CircuitHealth:
    """The health after these calls, at this moment. Safe to ask with an empty tally: time alone moves it too."""
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
    """After an answer that says "too many"."""
    return min(DEFAULT_THROTTLE if retry_after is None else retry_after, MAX_THROTTLE)


def _with_throttle(health: CircuitHealth, tally: CallTally, now: datetime) -> CircuitHealth:
    """The longest that it has asked for."""
    until = max(now + tally.throttled_for, health.throttled_until or now)
    return replace(health, throttled_until=until if until > now else None)


def _with_calls(health: CircuitHealth, tally: CallTally, now: datetime) -> CircuitHealth:
    second = int(now.timestamp())
    recent = tuple(each for each in health.recent if each[0] > second - MEMORY_SECONDS)
    if tally.calls:
        recent = (*recent, (second, tally.calls, tally.errors, tally.slow))
    known = (
        () if tally.successes else health.credential_failures
    )  # credentials that somebody's message passed with are not broken
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
    cool_down = min(FIRST_COOL_DOWN * (1 << min(health.openings, 10)), MAX_COOL_DOWN)
    if reason == CREDENTIALS:
        cool_down = max(cool_down, CREDENTIALS_COOL_DOWN)
    return replace(
        health,
        state=CircuitState.OPEN,
        reason=reason,
        openings=health.openings + 1,
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
    # A probe whose process died tells nothing.
    return _half_open(health, now) if waited else health


def _close(health: CircuitHealth, now: datetime) -> CircuitHealth:
    """Back at part of its weight, so that what comes new does not fall upon it all at once."""
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
    return replace(health, openings=0) if health.openings else health


def traffic_shares(pool: Mapping[str, int], healths: Mapping[str, CircuitHealth]) -> dict[str, int]:
    """What each provider of a pool gets of the traffic by now: what one has lost, the others share."""
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
            return points - points // 2  # somebody has to try it; the guard sends on whom it does not need
        case CircuitState.OPEN:
            return points


def order_providers(pool: Mapping[str, int], healths: Mapping[str, CircuitHealth], rand: float) -> Sequence[str]:
    """Whom to ask first, then the others in their order, open circuits last. `dice` in [0, 1) draws by weight."""
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
