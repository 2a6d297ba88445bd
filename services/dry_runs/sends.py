"""Predict the course of a send with the functions that send it: gates, windows, plan, rendering. Write nothing. Used by
`predictor.py`."""

from dataclasses import replace
from datetime import datetime

from domain.forecasts import EXPIRED_REASON, DigestForecast, Forecast, ForecastWait, forecast_outcome, with_times
from domain.gates import Gate
from domain.messages import NotificationOutcome
from domain.statuses import NotificationStatus
from services.dry_runs.calls import CallPredictor
from services.dry_runs.digests import DigestArrival, DigestPredictor
from services.dry_runs.gates import PredictedGateChecker
from services.gates import COLLECTED_OUTCOME, GateCheck
from services.route_resolution import Route, RouteResolver
from storage.acceptance import NewNotification

# Rules may hold a notification forever, such as quiet hours that cover its send window.
MAX_PREDICTED_WAITS = 64
EXPIRED_OUTCOME = NotificationOutcome(status=NotificationStatus.EXPIRED, reason=EXPIRED_REASON.code)


class SendPredictor:
    """Predict one send from the time at which it would be accepted. Its times hold if nothing else is sent."""

    def __init__(
        self,
        route_resolver: RouteResolver,
        digests: DigestPredictor,
        gates: PredictedGateChecker,
        calls: CallPredictor,
    ) -> None:
        self._route_resolver = route_resolver
        self._digests = digests
        self._gates = gates
        self._calls = calls
        self._waits: list[ForecastWait] = []
        self._digest: DigestForecast | None = None

    async def run(self, new: NewNotification, check: GateCheck, expires_at: datetime | None) -> Forecast:
        now = check.context.now
        self._check, self._at, self._expires_at = check, now, expires_at
        if new.send_at is not None and new.send_at > now:
            self._add_wait(Gate(reason="send_at", until=new.send_at))
        outcome = await self._predict_outcome(new)
        if isinstance(outcome, Route):
            return await self._forecast_route(outcome)
        return self._forecast(outcome)

    async def _predict_outcome(self, new: NewNotification) -> Route | NotificationOutcome | None:
        """Predict the waits of the workflow in order. Return None after MAX_PREDICTED_WAITS."""
        if self._check.notification_type.timing.collects and not await self._collect(new, is_handed_over=False):
            return EXPIRED_OUTCOME
        while len(self._waits) < MAX_PREDICTED_WAITS:
            if self._expires_at is not None and self._expires_at <= self._at:
                return EXPIRED_OUTCOME
            decision = await self._route_resolver.check_gates(self._current_check, self._gates)
            if isinstance(decision, Gate):
                self._add_wait(decision)
            elif decision != COLLECTED_OUTCOME:
                return decision
            elif not await self._collect(new, is_handed_over=True):
                return EXPIRED_OUTCOME
        return None

    @property
    def _current_check(self) -> GateCheck:
        return replace(self._check, context=replace(self._check.context, now=self._at))

    def _add_wait(self, gate: Gate) -> None:
        wait = ForecastWait(reason=gate.reason, since=self._at, until=gate.until)
        if self._waits and (self._waits[-1].reason, self._waits[-1].until) == (gate.reason, self._at):
            wait = replace(self._waits.pop(), until=gate.until)  # two consecutive limits of one kind of wait
        self._waits.append(wait)
        self._at = gate.until or self._at

    async def _collect(self, new: NewNotification, *, is_handed_over: bool) -> bool:
        """Continue as the notification of the digest. Return False if it expires before the digest closes."""
        arrival = DigestArrival(new=new, at=self._at, expires_at=self._expires_at, is_handed_over=is_handed_over)
        predicted = await self._digests.collect(self._current_check, arrival)
        if predicted is None:
            expires_in = self._check.notification_type.expires_in
            if self._expires_at is None and expires_in is not None:
                self._expires_at = self._at + expires_in
            return True
        self._digest = predicted.window
        self._add_wait(Gate(reason="digest", until=predicted.window.closes_at))
        if predicted.end is not NotificationStatus.DIGESTED:
            return False
        self._check, self._expires_at = predicted.check, predicted.expires_at
        return True

    async def _forecast_route(self, route: Route) -> Forecast:
        steps = await self._calls.steps(self._current_check, route)
        check = self._check
        found = with_times(
            steps,
            self._at,
            self._expires_at,
            lambda at: replace(check, context=replace(check.context, now=at)).time_gate,
        )
        return replace(self._forecast(forecast_outcome(found)), steps=tuple(found))

    def _forecast(self, end: NotificationOutcome | None) -> Forecast:
        return Forecast(
            priority=self._check.context.priority,
            expires_at=self._expires_at,
            waits=tuple(self._waits),
            digest=self._digest,
            status=None if end is None else end.status,
            reason=None if end is None else end.reason,
        )
