"""The gates of a notification that is not sent: they tell what it would wait for, and write nothing. Used by
`activities/predictions.py`."""

from collections.abc import Sequence

from activities.composition import queued_for
from activities.gates import COLLECTED, Answer, Asked
from domain.gates import GateReason, exceeding
from domain.messages import Gate, NotificationOutcome, StepPlan
from domain.statuses import NotificationStatus
from domain.throttles import slot_at
from domain.timing import OnExceed
from storage import provider_queues, throttles
from storage.database import Database


class PredictedGates:
    """GateChecks at a moment that may be in the future. A gate without an end is returned once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._has_returned_provider = False

    async def hour(self, asked: Asked) -> Gate | None:
        return asked.hour

    async def provider(self, asked: Asked, steps: Sequence[StepPlan]) -> Gate | None:
        provider = queued_for(steps)
        if provider is None or self._has_returned_provider:
            return None
        self._has_returned_provider = True
        async with self._database.statement() as session:
            has_room = await provider_queues.has_room(session, provider)
        return None if has_room else Gate(reason=GateReason.PROVIDER_BUSY, provider=provider)

    async def amount(self, asked: Asked) -> Answer:
        """With the end that a wait for a slot would have if nothing else is sent."""
        if not (claimed := asked.claims):
            return None
        at = asked.audience.now
        async with self._database.statement() as session:
            windows = await throttles.look(session, asked.asker, [each.key for each in claimed.values()])
        slots = {
            why: slot_at(each.limit, *windows[each.key], at) for why, each in claimed.items() if each.key in windows
        }
        full = {why: slot for why, slot in slots.items() if slot > at}
        if not full:
            return None
        why = next(iter(full))
        match exceeding(asked.kind, why, is_digest=asked.audience.words.digest):
            case OnExceed.DROP:
                return NotificationOutcome(status=NotificationStatus.SUPPRESSED, reason=why)
            case OnExceed.DIGEST:
                return COLLECTED
        return Gate(reason=why, until=min(full.values()))
