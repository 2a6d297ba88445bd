"""What a notification can wait for, and what wakes it. Signals set flags; what they mean, the rows say."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate

with workflow.unsafe.imports_passed_through():
    from domain.messages import Gate
    from domain.statuses import DeliveryStatus, NotificationStatus
    from workflows import options


class Waits:
    """`where` are the search attributes that say which step and channels a wait belongs to."""

    def __init__(self, expires_at: datetime | None) -> None:
        self.cancel_requested = False
        self.releases = 0
        self.evidence = 0
        self.where: list[SearchAttributeUpdate[Any]] = []
        self._expires_at = expires_at

    def show(self, status: str | NotificationStatus) -> None:
        """Only before a wait and at an unhappy end: the happy path costs nothing."""
        workflow.upsert_search_attributes([options.STATUS.value_set(status), *self.where])

    async def pause(self, delay: timedelta, summary: str, status: str) -> bool:
        """True after the delay, False as soon as a cancel was asked for."""
        self.show(status)
        return not await self._until(lambda: self.cancel_requested, delay, summary)

    async def for_release(self, seen: int, summary: str) -> DeliveryStatus | None:
        """Until something is released after `seen` releases; else the delivery's end."""
        self.show(options.HELD)
        left = None if self._expires_at is None else self._expires_at - workflow.now()
        if not await self._until(lambda: self.cancel_requested or self.releases > seen, left, summary):
            return DeliveryStatus.EXPIRED
        return DeliveryStatus.CANCELED if self.cancel_requested else None

    async def for_gate(self, seen: int, gate: Gate) -> DeliveryStatus | None:
        """Until it opens by itself, or the rows have more to say than `seen` times; else the delivery's end."""
        self.show(options.HELD)
        opens = [moment for moment in (gate.until, self._expires_at) if moment is not None]
        # At least a moment: the clock that says "not yet" is another's, and may be behind this one.
        left = max(min(opens) - workflow.now(), options.A_MOMENT) if opens else None
        await self._until(lambda: self.cancel_requested or self.evidence > seen, left, gate.reason)
        if self.cancel_requested:
            return DeliveryStatus.CANCELED
        worthless = self._expires_at is not None and self._expires_at <= workflow.now()
        return DeliveryStatus.EXPIRED if worthless else None

    async def for_evidence(self, seen: int, delay: timedelta, summary: str, *, cancel: bool) -> bool:
        """True as soon as the rows have more to say than `seen` times, or, with `cancel`, a cancel was asked for."""
        return await self._until(lambda: self.evidence > seen or (cancel and self.cancel_requested), delay, summary)

    async def _until(self, condition: Callable[[], bool], limit: timedelta | None, summary: str) -> bool:
        if limit is not None and limit <= timedelta():
            return condition()
        try:
            await workflow.wait_condition(condition, timeout=limit, timeout_summary=summary)
        except TimeoutError:
            return False
        return True
