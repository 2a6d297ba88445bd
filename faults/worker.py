"""Run a worker with waits short enough for a run of minutes and, optionally, with other code or another clock: `python
-m faults.worker [bug | newer | tomorrow | yesterday | block]`.

Everything else is `worker.py`. Shortened are the deadline of a call, the settle windows of the vendors (half an hour at
Mailgun, two minutes at Twilio), the delay after a 429 without Retry-After (a minute at FCM and APNs), and how long
refused credentials keep a circuit open. The worker trusts the certificate of the fake APNs.
"""

import asyncio
import os
import signal
import ssl
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from temporalio import workflow

import worker
from config.sources import PREFIX
from domain import circuits, clock
from faults.vendor.keys import AUTHORITY
from providers import http_clients
from providers.apns import adapter as apns
from providers.chat.adapter import Chat
from providers.fcm.adapter import Fcm
from providers.http2 import http2_client
from providers.mailgun.adapter import Mailgun
from providers.resend.adapter import Resend
from providers.sendgrid.adapter import SendGrid
from providers.ses.adapter import Ses
from providers.smtp.adapter import Smtp
from providers.twilio.adapter import Twilio
from providers.vonage.adapter import Vonage
from providers.web_push.adapter import WebPush
from supervision.watchdog import Watchdog
from workflows.steps import StepResult, StepRun

DEADLINE = 3.0
SETTLE_WINDOW = 8.0
COOL_DOWN = timedelta(seconds=6)
THROTTLE = 2.0

original_run = StepRun.run
original_main = worker.main


def shorten() -> None:
    for provider in (SendGrid, Smtp, Twilio, Fcm, apns.Apns, WebPush, Chat, Mailgun, Ses, Resend, Vonage):
        provider.deadline = DEADLINE
    for provider in (SendGrid, Twilio, Mailgun, Vonage):
        provider.settle_window = SETTLE_WINDOW
    circuits.CREDENTIALS_COOL_DOWN = COOL_DOWN
    apns.RETRY_DELAY = THROTTLE
    errors = Fcm.RETRYABLE_ERRORS.items()
    Fcm.RETRYABLE_ERRORS = {code: (reason, delay and THROTTLE) for code, (reason, delay) in errors}


def trust_vendors() -> None:
    tls = ssl.create_default_context(cafile=Path(os.environ[f"{PREFIX}DATA_DIR"]) / AUTHORITY)
    setattr(http_clients, "http2_client", partial(http2_client, tls))  # noqa: B010 - as above


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
    trust_vendors()
    changes, sys.argv = sys.argv[1:], sys.argv[:1]
    for name in changes:
        CHANGES[name]()
    asyncio.run(worker.main(Watchdog(drain=0)))  # not started
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
