"""What would become of a send, found with the functions that send it: gates, windows, plan, rendering. Used by the dry
runs of the API; writes nothing."""

from dataclasses import replace
from datetime import datetime

from activities.gates import COLLECTED, Asked
from activities.predicted_calls import PredictedCalls
from activities.predicted_digests import Arrival, PredictedDigests
from activities.predicted_gates import PredictedGates
from activities.resolution import Resolution, Route
from domain.forecasts import EXPIRED, DigestForecast, Forecast, Wait, end_of, timed
from domain.messages import Gate, NotificationOutcome
from domain.statuses import NotificationStatus
from storage.acceptance import NewNotification

# Waits that are looked ahead: rules may never let a notification out, as quiet hours that cover its send window do.
MOST_WAITS = 64
OVER = NotificationOutcome(status=NotificationStatus.EXPIRED, reason=EXPIRED.code)


class Prediction:
    """The course of one send from the moment at which it would be accepted. Its times hold if nothing else is sent."""

    def __init__(
        self, resolution: Resolution, digests: PredictedDigests, gates: PredictedGates, calls: PredictedCalls
    ) -> None:
        self._resolution = resolution
        self._digests = digests
        self._gates = gates
        self._calls = calls
        self._waits: list[Wait] = []
        self._digest: DigestForecast | None = None

    async def run(self, new: NewNotification, asked: Asked, expires_at: datetime | None) -> Forecast:
        now = asked.audience.now
        self._asked, self._at, self._expires_at = asked, now, expires_at
        if new.send_at is not None and new.send_at > now:
            self._wait(Gate(reason="send_at", until=new.send_at))
        outcome = await self._outcome(new)
        if isinstance(outcome, Route):
            return await self._routed(outcome)
        return self._forecast(outcome)

    async def _outcome(self, new: NewNotification) -> Route | NotificationOutcome | None:
        """The waits of the workflow, one after the other. None: more of them than are looked ahead."""
        if self._asked.kind.timing.collects and not await self._collect(new, is_handed_over=False):
            return OVER
        while len(self._waits) < MOST_WAITS:
            if self._expires_at is not None and self._expires_at <= self._at:
                return OVER
            decision = await self._resolution.decide(self._now, self._gates)
            if isinstance(decision, Gate):
                self._wait(decision)
            elif decision != COLLECTED:
                return decision
            elif not await self._collect(new, is_handed_over=True):
                return OVER
        return None

    @property
    def _now(self) -> Asked:
        return replace(self._asked, audience=replace(self._asked.audience, now=self._at))

    def _wait(self, gate: Gate) -> None:
        wait = Wait(reason=gate.reason, since=self._at, until=gate.until)
        if self._waits and (self._waits[-1].reason, self._waits[-1].until) == (gate.reason, self._at):
            wait = replace(self._waits.pop(), until=gate.until)  # two limits of one kind of wait, one after the other
        self._waits.append(wait)
        self._at = gate.until or self._at

    async def _collect(self, new: NewNotification, *, is_handed_over: bool) -> bool:
        """Go on as the notification of its digest. False: it expires before that is made."""
        arrival = Arrival(new=new, at=self._at, expires_at=self._expires_at, is_handed_over=is_handed_over)
        predicted = await self._digests.collect(self._now, arrival)
        if predicted is None:
            lifetime = self._asked.kind.expires_in
            if self._expires_at is None and lifetime is not None:
                self._expires_at = self._at + lifetime
            return True
        self._digest = predicted.window
        self._wait(Gate(reason="digest", until=predicted.window.closes_at))
        if predicted.end is not NotificationStatus.DIGESTED:
            return False
        self._asked, self._expires_at = predicted.asked, predicted.expires_at
        return True

    async def _routed(self, route: Route) -> Forecast:
        steps = await self._calls.steps(self._now, route)
        asked = self._asked
        found = timed(
            steps, self._at, self._expires_at, lambda at: replace(asked, audience=replace(asked.audience, now=at)).hour
        )
        return replace(self._forecast(end_of(found)), steps=tuple(found))

    def _forecast(self, end: NotificationOutcome | None) -> Forecast:
        return Forecast(
            priority=self._asked.audience.priority,
            expires_at=self._expires_at,
            waits=tuple(self._waits),
            digest=self._digest,
            status=None if end is None else end.status,
            reason=None if end is None else end.reason,
        )
