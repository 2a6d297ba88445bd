"""The windows of one type, person and key, one after the other, for as long as there are any. Its items are rows: here
is only the clock. Started by `dispatch/` with the first item of a window."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.digesting import Digesting
    from domain.clock_messages import CloseInput, DigestStart
    from workflows import options
    from workflows.own_work import own_work


@workflow.defn
class DigestWorkflow:
    @workflow.init
    def __init__(self, start: DigestStart) -> None:
        self._start = start
        self._told = 0

    @workflow.signal
    def opened(self) -> None:
        """Another window was opened while this one was closing."""
        self._told += 1

    @workflow.run
    async def run(self, start: DigestStart) -> None:
        workflow.upsert_search_attributes([options.STATUS.value_set(options.COLLECTING)])
        closes_at: datetime | None = start.closes_at
        while closes_at is not None:
            await self._until(closes_at)
            closes_at = await self._close()
            if closes_at is not None and workflow.info().get_current_history_length() > options.LONG_HISTORY:
                workflow.continue_as_new(replace(start, closes_at=closes_at))

    async def _until(self, closes_at: datetime) -> None:
        """Or until another window is opened, which may close earlier."""
        told = self._told
        workflow.set_current_details(f"Collects until {closes_at:%Y-%m-%d %H:%M:%S} UTC")
        left = max(closes_at - workflow.now(), timedelta())
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._told > told, timeout=left, timeout_summary="until the window closes"
            )

    async def _close(self) -> datetime | None:
        """Asked again if a window was opened meanwhile: it may have been asked just before."""
        while True:
            told = self._told
            given = CloseInput(tenant=self._start.tenant, group=self._start.group)
            standing = await own_work(Digesting.close_digest, given, "close the window, if it is due")
            if standing.closes_at is not None or told == self._told:
                return standing.closes_at
