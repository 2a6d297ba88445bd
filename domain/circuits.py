"""The circuit and the weight of one provider: pure moves from what its calls came to. The caller brings the clock.

The weight follows the method that GOV.UK Notify has published: ten points less after more than 50 errors in a minute,
or when at least 15 % of the calls are slow, at most once a minute, and then slowly back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.stored_enums import StoredEnum

MEMORY = 60  # seconds
WINDOW = 30
MIN_ERRORS = 5
ERROR_SHARE = 0.5
MIN_CALLS = 10
SLOW_SHARE = 0.5
REFUSERS = 3
FIRST_COOL_DOWN = timedelta(seconds=5)
LONGEST_COOL_DOWN = timedelta(minutes=5)
CREDENTIALS_COOL_DOWN = timedelta(minutes=1)
# How long nobody calls who is told "too many": if the vendor does not say, and at most.
QUIET = timedelta(seconds=1)
LONGEST_QUIET = timedelta(minutes=5)
PROBES = 3
PROBE_AGAIN = timedelta(seconds=30)

STEP = 10  # points
ERRORS_A_MINUTE = 50
SLOW_A_MINUTE = 0.15
MIN_CALLS_A_MINUTE = 20
WEIGH_EVERY = timedelta(minutes=1)
AFTER_OUTAGE = 30
ALL_POINTS = 100

CREDENTIALS = "credentials_refused"


class CircuitState(StoredEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """What one process saw of a provider since it last told. `errors` are of different deliveries, so that one bad
    message opens nothing; `refusers` stand for the people whose messages met refused credentials; `quiet` is how much
    longer the vendor wants no calls."""

    calls: int = 0
    errors: int = 0
    slow: int = 0
    refusers: tuple[str, ...] = ()
    quiet: timedelta = timedelta()

    @property
    def good(self) -> int:
        return self.calls - self.errors - len(self.refusers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """`recent` holds `(second, calls, errors, slow)` of the last minute. `probes` are the calls that a half-open
    circuit still lets through; `openings` counts those since it was last well. Until `quiet_until` the vendor wants no
    calls, well as it may be. `lookup_refused`: our account may send, and may not look up what became of a message."""

    provider: str
    changed_at: datetime
    weighed_at: datetime
    state: CircuitState = CircuitState.CLOSED
    reason: str | None = None
    penalty: int = 0
    openings: int = 0
    probes: int = 0
    probe_at: datetime | None = None
    quiet_until: datetime | None = None
    recent: tuple[tuple[int, int, int, int], ...] = ()
    refusers: tuple[str, ...] = ()
    lookup_refused: bool = False

    @property
    def passes(self) -> bool:
        return self.state is CircuitState.CLOSED

    @property
    def moves_by_itself(self) -> bool:
        """Time alone changes it."""
        return not self.passes or bool(self.penalty) or self.quiet_until is not None

    def is_quiet(self, now: datetime) -> bool:
        return self.quiet_until is not None and self.quiet_until > now


def advance(health: Health, tally: Tally, now: datetime) -> Health:
    """The health after these calls, at this moment. Safe to ask with an empty tally: time alone moves it too."""
    health = _weighed(_remembered(_quieted(health, tally, now), tally, now), now)
    match health.state:
        case CircuitState.CLOSED:
            reason = _broken(health, now)
            return _opened(health, reason, now) if reason else health
        case CircuitState.OPEN:
            due = health.probe_at is not None and health.probe_at <= now
            return _probing(health, now) if due else health
        case CircuitState.HALF_OPEN:
            return _after_probes(health, tally, now)


def quiet_for(retry_after: timedelta | None) -> timedelta:
    """After an answer that says "too many"."""
    return min(QUIET if retry_after is None else retry_after, LONGEST_QUIET)


def _quieted(health: Health, tally: Tally, now: datetime) -> Health:
    """The longest that it has asked for."""
    until = max(now + tally.quiet, health.quiet_until or now)
    return replace(health, quiet_until=until if until > now else None)


def _remembered(health: Health, tally: Tally, now: datetime) -> Health:
    second = int(now.timestamp())
    recent = tuple(each for each in health.recent if each[0] > second - MEMORY)
    if tally.calls:
        recent = (*recent, (second, tally.calls, tally.errors, tally.slow))
    known = () if tally.good else health.refusers  # credentials that somebody's message passed with are not broken
    refusers = tuple(dict.fromkeys((*known, *tally.refusers)))[:REFUSERS]
    return replace(health, recent=recent, refusers=refusers)


def _sum(health: Health, since: float) -> Tally:
    chosen = [each for each in health.recent if each[0] >= since]
    calls, errors, slow = (sum(each[place] for each in chosen) for place in (1, 2, 3))
    return Tally(calls=calls, errors=errors, slow=slow)


def _broken(health: Health, now: datetime) -> str | None:
    if len(health.refusers) >= REFUSERS:
        return CREDENTIALS
    seen = _sum(health, max(now.timestamp() - WINDOW, int(health.changed_at.timestamp())))
    if seen.errors >= MIN_ERRORS and seen.errors >= ERROR_SHARE * seen.calls:
        return "errors"
    if seen.calls >= MIN_CALLS and seen.slow >= SLOW_SHARE * seen.calls:
        return "slow"
    return None


def _opened(health: Health, reason: str, now: datetime) -> Health:
    cool_down = min(FIRST_COOL_DOWN * (1 << min(health.openings, 10)), LONGEST_COOL_DOWN)
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


def _probing(health: Health, now: datetime) -> Health:
    return replace(health, state=CircuitState.HALF_OPEN, probes=PROBES, changed_at=now, refusers=(), recent=())


def _after_probes(health: Health, tally: Tally, now: datetime) -> Health:
    if tally.errors or tally.refusers or tally.slow:
        word = CREDENTIALS if tally.refusers else "errors" if tally.errors else "slow"
        return _opened(health, word, now)
    good, waited = _sum(health, 0).calls, now - health.changed_at >= PROBE_AGAIN
    if good >= PROBES or (good and waited):
        return _closed(health, now)
    # A probe whose process died tells nothing.
    return _probing(health, now) if waited else health


def _closed(health: Health, now: datetime) -> Health:
    """Back at part of its weight, so that what comes new does not fall upon it all at once."""
    return replace(
        health,
        state=CircuitState.CLOSED,
        reason=None,
        probe_at=None,
        probes=0,
        changed_at=now,
        weighed_at=now,
        penalty=max(health.penalty, AFTER_OUTAGE),
    )


def _weighed(health: Health, now: datetime) -> Health:
    if now - health.weighed_at < WEIGH_EVERY or health.state is not CircuitState.CLOSED:
        return health
    seen = _sum(health, now.timestamp() - MEMORY)
    strained = seen.calls >= MIN_CALLS_A_MINUTE and seen.slow >= SLOW_A_MINUTE * seen.calls
    if seen.errors > ERRORS_A_MINUTE or strained:
        return replace(health, penalty=min(health.penalty + STEP, ALL_POINTS), weighed_at=now)
    if health.penalty:
        return replace(health, penalty=max(0, health.penalty - STEP), weighed_at=now)
    return replace(health, openings=0) if health.openings else health


def weights(pool: Mapping[str, int], healths: Mapping[str, Health]) -> dict[str, int]:
    """What each provider of a pool gets of the traffic by now: what one has lost, the others share."""
    lost = {name: _lost(points, healths.get(name)) for name, points in pool.items()}
    takers = [name for name in pool if name not in healths or healths[name].state is not CircuitState.OPEN]
    taking = [name for name in takers if not lost[name]] or takers
    share = sum(lost.values()) / len(taking) if taking else 0
    return {name: round(points - lost[name] + (share if name in taking else 0)) for name, points in pool.items()}


def _lost(points: int, health: Health | None) -> int:
    if health is None:
        return 0
    match health.state:
        case CircuitState.CLOSED:
            return min(points, health.penalty)
        case CircuitState.HALF_OPEN:
            return points - points // 2  # somebody has to try it; the guard sends on whom it does not need
        case CircuitState.OPEN:
            return points


def ordered(pool: Mapping[str, int], healths: Mapping[str, Health], dice: float) -> Sequence[str]:
    """Whom to ask first, then the others in their order, open circuits last. `dice` in [0, 1) draws by weight."""
    shares = weights(pool, healths)
    rest = sorted(pool, key=lambda name: name in healths and not healths[name].passes)
    drawn = _drawn(shares, dice)
    return rest if drawn is None else [drawn, *(name for name in rest if name != drawn)]


def _drawn(shares: Mapping[str, int], dice: float) -> str | None:
    left = dice * sum(shares.values())
    for name, share in shares.items():
        if left < share:
            return name
        left -= share
    return None
