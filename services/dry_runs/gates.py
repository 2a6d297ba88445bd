"""Check the gates of a notification that is not sent: return its waits and write nothing. Used by
`sends.py`."""

from collections.abc import Sequence

from domain.gates import Gate, GateReason, action_on_exceed
from domain.messages import NotificationOutcome, StepPlan
from domain.statuses import NotificationStatus
from domain.throttles import slot_at
from domain.timing import OnExceed
from services.delivery_rendering import rate_limited_provider
from services.gates import COLLECTED_OUTCOME, GateCheck, GateDecision
from storage import claims, throttles
from storage.database import Database


class PredictedGateChecker:
    """Check the gates at a time that may be in the future. See GateChecker. A gate without an end is returned once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._has_returned_provider = False

    async def time_gate(self, check: GateCheck) -> Gate | None:
        return check.time_gate

    async def provider_gate(self, check: GateCheck, steps: Sequence[StepPlan]) -> Gate | None:
        provider = rate_limited_provider(steps)
        if provider is None or self._has_returned_provider:
            return None
        self._has_returned_provider = True
        async with self._database.statement() as session:
            has_room = await claims.has_free_place(session, provider)
        return None if has_room else Gate(reason=GateReason.PROVIDER_BUSY, provider=provider)

    async def limit_gate(self, check: GateCheck) -> GateDecision:
        """Return the outcome if a limit is used up. The end of a wait assumes that nothing else is sent."""
        if not (counted := check.counted_limits):
            return None
        at = check.context.now
        async with self._database.statement() as session:
            windows = await throttles.read_windows(session, check.slot_request, [each.key for each in counted.values()])
        slots = {
            reason: slot_at(each.limit, *windows[each.key], at)
            for reason, each in counted.items()
            if each.key in windows
        }
        full = {reason: slot for reason, slot in slots.items() if slot > at}
        if not full:
            return None
        reason = next(iter(full))
        match action_on_exceed(check.notification_type, reason, is_digest=check.context.template_context.digest):
            case OnExceed.DROP:
                return NotificationOutcome(status=NotificationStatus.SUPPRESSED, reason=reason)
            case OnExceed.DIGEST:
                return COLLECTED_OUTCOME
        return Gate(reason=reason, until=min(full.values()))
