"""Run a worker with waits short enough for a run of minutes and, optionally, with other code or another clock: `python
-m faults.worker [bug | newer | tomorrow | yesterday | block]`.

Everything else is `worker.py`. Shortened are the deadline of a call, the settle windows of the vendors (ten minutes at
SendGrid, two at Twilio), and how long refused credentials keep a circuit open.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow

import worker
from domain import circuits, clock
from providers.sendgrid.adapter import SendGrid
from providers.smtp.adapter import Smtp
from providers.twilio.adapter import Twilio
from supervision.watchdog import Watchdog
from workflows.steps import StepResult, StepRun

DEADLINE = 3.0
SETTLE_WINDOW = 8.0
COOL_DOWN = timedelta(seconds=6)

original_run = StepRun.run
original_main = worker.main


def shorten() -> None:
    for provider in (SendGrid, Smtp, Twilio):
        provider.deadline = DEADLINE
    for provider in (SendGrid, Twilio):
        provider.settle_window = SETTLE_WINDOW
    circuits.CREDENTIALS_COOL_DOWN = COOL_DOWN


async def run_with_a_bug(step: StepRun, expires_at: datetime | None) -> StepResult:
    raise ZeroDivisionError


async def run_a_newer_version(step: StepRun, expires_at: datetime | None) -> StepResult:
    """Run a step with one more wait, for workflows that begin under this version."""
    if workflow.patched("a-newer-version"):
        await workflow.sleep(timedelta(milliseconds=50))
    return await original_run(step, expires_at)


async def main_with_block_signal(*given: Any) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, threading.Event().wait)
    await original_main(*given)


def block_loop_on_signal() -> None:
    """Run with supervisor and watchdog, as in production. SIGUSR1 blocks the event loop of a process."""
    setattr(worker, "main", main_with_block_signal)  # noqa: B010 - as above
    os._exit(worker.run_processes())


CHANGES: dict[str, Callable[[], None]] = {
    "bug": lambda: setattr(StepRun, "run", run_with_a_bug),
    "newer": lambda: setattr(StepRun, "run", run_a_newer_version),
    "tomorrow": lambda: clock.set_offset(timedelta(days=1)),
    "yesterday": lambda: clock.set_offset(timedelta(days=-1)),
    "block": block_loop_on_signal,
}


if __name__ == "__main__":
    shorten()
    changes, sys.argv = sys.argv[1:], sys.argv[:1]
    for name in changes:
        CHANGES[name]()
    asyncio.run(worker.main(Watchdog(drain=0)))  # not started
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
