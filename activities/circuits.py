"""How the providers are doing, as this process knows it: it counts what its own calls came to, tells the database every
second, and learns what the others saw. The guard and the choice of a provider ask it, at no cost on their way."""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from domain.circuits import CircuitState, Health, Tally, quiet_for
from domain.failure_reasons import counts_for_circuit, stops_account
from domain.holds import Held, circuit_open, provider_throttled
from domain.messages import Result
from domain.names import derived_id
from domain.retries import OURS
from storage import provider_health
from storage.database import Database
from storage.statements import Executor

log = structlog.get_logger(__name__)

EVERY = 1.0  # seconds between two looks
REMEMBERED = 1_000  # deliveries whose error has been counted already
SLOW_CALL = 0.5  # of the adapter's deadline
# What says that the provider, not the message or our rate, is in trouble.
TROUBLE = (Result.NOT_ACCEPTED, Result.UNKNOWN)
THROTTLED = "throttled"


@dataclass(kw_only=True)
class _Seen:
    calls: int = 0
    errors: int = 0
    slow: int = 0
    refusers: list[str] = field(default_factory=list)
    quiet_until: float = 0.0

    def taken(self) -> Tally:
        quiet = timedelta(seconds=max(0.0, self.quiet_until - time.monotonic()))
        return Tally(calls=self.calls, errors=self.errors, slow=self.slow, refusers=tuple(self.refusers), quiet=quiet)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call that was really made. `share` is the part of the adapter's deadline that it took, `began` is by
    `time.monotonic`; `retry_after` is what the vendor asked for."""

    provider: str
    delivery_id: UUID
    person: str
    result: Result
    reason: str | None
    share: float
    began: float
    retry_after: timedelta | None = None


class Circuits:
    """What a vendor tells this process is obeyed here at once, and by the others within a second or two."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: Mapping[str, Health] = {}
        self._seen: dict[str, _Seen] = defaultdict(_Seen)
        self._quiet: dict[str, float] = defaultdict(float)
        self._troubled: dict[UUID, None] = {}
        self._learned_at: dict[str, float] = {}
        # Deliveries with trouble since the circuit's state changed.
        self._in_trouble: dict[str, set[UUID]] = defaultdict(set)

    @property
    def healths(self) -> Mapping[str, Health]:
        """As of a second ago; a provider that is missing is well."""
        return self._known

    async def held(self, session: Executor, provider: str, now: datetime) -> Held | None:
        """Why this call is not to be made, asked in the guard's own transaction; `now` is by the database's clock. A
        half-open circuit passes only as many as the database counts."""
        health = self._known.get(provider)
        if (known := self.known_hold(provider, now)) is not None:
            return known
        if health is None or health.passes or await provider_health.take_probe(session, provider):
            return None
        return circuit_open(provider, health.openings)

    def known_hold(self, provider: str, now: datetime) -> Held | None:
        """The same for a call that is not made: an open circuit, or a vendor that wants no calls for a while."""
        health = self._known.get(provider)
        if health is not None and health.state is CircuitState.OPEN:
            return circuit_open(provider, health.openings)
        if self._quiet[provider] > time.monotonic() or (health is not None and health.is_quiet(now)):
            return provider_throttled(provider)
        return None

    def note(self, call: Call) -> None:
        if call.reason == THROTTLED:
            self._hush(call.provider, quiet_for(call.retry_after))
        trouble = call.result in TROUBLE and call.reason not in OURS and counts_for_circuit(call.reason)
        if self._is_stale(call) or (trouble and not self._counts(call)):
            return
        seen = self._seen[call.provider]
        seen.calls += 1
        seen.errors += trouble
        seen.slow += call.share >= SLOW_CALL
        if call.result is Result.PERMANENT and stops_account(call.reason):
            seen.refusers.append(str(derived_id("refused", call.person)))
        elif not trouble:
            seen.refusers.clear()  # what somebody's message passes with is not broken

    def _hush(self, provider: str, quiet: timedelta) -> None:
        """The whole provider, for it asks us and not this one message. The longest that it has asked for."""
        until = max(self._quiet[provider], time.monotonic() + quiet.total_seconds())
        self._quiet[provider] = self._seen[provider].quiet_until = until

    def _is_stale(self, call: Call) -> bool:
        """It began before the circuit was tried again: a call that hung until now says nothing of today."""
        health = self._known.get(call.provider)
        tried = health is not None and health.state is CircuitState.HALF_OPEN
        return tried and call.began < self._learned_at[call.provider]

    def _counts(self, call: Call) -> bool:
        """Of one message that is tried again and again the first trouble. While a circuit is being tried, every one of
        several messages: a message that had trouble before proves nothing alone."""
        health = self._known.get(call.provider)
        first = self._first_trouble(call.delivery_id)
        if health is None or health.passes:
            return first
        self._in_trouble[call.provider].add(call.delivery_id)
        return first or len(self._in_trouble[call.provider]) > 1

    def _first_trouble(self, delivery_id: UUID) -> bool:
        """One bad message, tried again and again, is one error."""
        if delivery_id in self._troubled:
            return False
        self._troubled[delivery_id] = None
        if len(self._troubled) > REMEMBERED:
            self._troubled.pop(next(iter(self._troubled)))
        return True

    async def look(self) -> float:
        """Tell what was seen, move what time alone moves, and learn the rest."""
        moving = {name for name, health in self._known.items() if health.moves_by_itself}
        if moved := sorted({*self._seen, *moving}):
            async with self._database.quick_transaction() as session:
                for provider in moved:
                    before, after = await provider_health.move(session, provider, self.taken(provider))
                    _announce(before, after)
        await self.refresh()
        return EVERY

    async def refresh(self) -> None:
        """Learn how the providers are doing, for a process that calls none."""
        async with self._database.statement() as session:
            self.learn(await provider_health.read_all(session))

    def taken(self, provider: str) -> Tally:
        """What was seen since this was asked last."""
        return self._seen.pop(provider, _Seen()).taken()

    def learn(self, healths: Mapping[str, Health]) -> None:
        for name, health in healths.items():
            if name not in self._known or self._known[name].state is not health.state:
                self._learned_at[name] = time.monotonic()
                self._in_trouble.pop(name, None)
        self._known = healths


def _announce(before: Health, after: Health) -> None:
    """Once per change, by the process that made it."""
    if after.quiet_until is not None and before.quiet_until is None:
        log.info("a provider wants no calls for a while", provider=after.provider, until=str(after.quiet_until))
    if before.state is after.state:
        return
    told = {"provider": after.provider, "reason": after.reason}
    if after.state is CircuitState.OPEN and before.state is CircuitState.CLOSED:
        log.error("a provider's circuit is open; its messages go elsewhere or wait", **told)
    elif after.state is CircuitState.CLOSED:
        log.warning("a provider is well again", provider=after.provider)
    else:
        log.info("a provider's circuit moved", state=str(after.state), **told)
