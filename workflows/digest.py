"""Run the clock of the digest windows of one type, recipient and key. The items are rows. `dispatch/` starts the
workflow with the first item of a window."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.digests_and_ticks import DigestActivities
    from domain.digest_and_tick_messages import DigestCloseInput, DigestStart
    from workflows import options
    from workflows.local_activities import run_local_then_remote
    from workflows.waits import is_history_long


@workflow.defn
class DigestWorkflow:
    @workflow.init
    def __init__(self, start: DigestStart) -> None:
        self._start = start
        self._opened_windows = 0

    @workflow.signal
    def window_opened(self) -> None:
        """Report that another window was opened while this one was closing."""
        self._opened_windows += 1

    @workflow.run
    async def run(self, start: DigestStart) -> None:
        workflow.upsert_search_attributes([options.STATUS.value_set(options.COLLECTING)])
        closes_at: datetime | None = start.closes_at
        known_windows = 0  # Counts signals that arrive before the first task.
        while closes_at is not None:
            await self._wait_until(closes_at, known_windows)
            known_windows, closes_at = await self._close()
            if closes_at is not None and is_history_long():
                workflow.continue_as_new(replace(start, closes_at=closes_at))

    async def _wait_until(self, closes_at: datetime, known_windows: int) -> None:
        """Wait until the window closes, or until more windows than `known_windows` were opened, which may close
        earlier."""
        workflow.set_current_details(f"Collects until {closes_at:%Y-%m-%d %H:%M:%S} UTC")
        remaining = max(closes_at - workflow.now(), timedelta())
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._opened_windows > known_windows,
                timeout=remaining,
                timeout_summary="until the window closes",
            )

    async def _close(self) -> tuple[int, datetime | None]:
        """Close the window if it is due. Return the number of known windows and when the open window closes. Repeat
        if a window was opened during the call, because the call may have run just before."""
        while True:
            known_windows = self._opened_windows
            request = DigestCloseInput(tenant=self._start.tenant, digest_key=self._start.digest_key)
            window = await run_local_then_remote(
                DigestActivities.close_digest, request, "close the window, if it is due"
            )
            if window.closes_at is not None:
                # The database clock returned "not yet" and may be behind this clock.
                return known_windows, max(window.closes_at, workflow.now() + options.MIN_WAIT)
            if known_windows == self._opened_windows:
                return known_windows, None
