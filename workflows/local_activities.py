"""Run a short step of our own (resolve, render, settle) as a local activity, then as a normal activity."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows import options

Input = TypeVar("Input")
Output = TypeVar("Output")


async def run_local_then_remote(
    step: Callable[[Any, Input], Awaitable[Output]], payload: Input, summary: str
) -> Output:
    try:
        return await workflow.execute_local_activity_method(
            step,
            payload,
            schedule_to_close_timeout=options.LOCAL_TIMEOUT,
            retry_policy=options.LOCAL_RETRY,
            summary=summary,
        )
    except FailureError as error:  # A local activity raises its own error, without an ActivityError around it.
        if is_cancelled_exception(error):
            raise
        return await workflow.execute_activity_method(
            step,
            payload,
            start_to_close_timeout=options.DATABASE_TIMEOUT,
            retry_policy=options.UNLIMITED_RETRY,
            summary=f"{summary} (retry)",
        )
