"""Count attempts and measure provider calls. Incremented by `deliver`."""

from datetime import timedelta
from enum import StrEnum

from prometheus_client import Counter, Histogram

from domain.channels import Channel
from domain.evidence import AttemptState
from domain.failure_reasons import is_account_code
from domain.records import Ledger
from metrics.registry import REGISTRY

CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)
WAIT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)

ATTEMPTS = Counter(
    "tocsin_attempts", "Attempts that ended, by outcome.", ["provider", "channel", "outcome"], registry=REGISTRY
)
ACCOUNT_ERRORS = Counter(
    "tocsin_provider_account_errors",
    "Calls and receipts that name the account or the settings as the cause, by reason.",
    ["provider", "reason"],
    registry=REGISTRY,
)
ATTEMPT_SECONDS = Histogram(
    "tocsin_attempt_duration_seconds",
    "Time of one call to a provider.",
    ["provider"],
    buckets=CALL_BUCKETS,
    registry=REGISTRY,
)
FIRST_ATTEMPT_SECONDS = Histogram(
    "tocsin_accept_to_attempt_seconds",
    "Time from acceptance, or from send_at if that is later, to the first provider call.",
    ["priority"],
    buckets=WAIT_BUCKETS,
    registry=REGISTRY,
)
UNREADABLE_ADDRESSES = Counter(
    "tocsin_unreadable_addresses",
    "Calls that were not made because the address could not be decrypted.",
    ["channel"],
    registry=REGISTRY,
)
RECORDING_FAILURES = Counter(
    "tocsin_recording_failures",
    "Outcomes of calls that Postgres refused to store as they were.",
    ["kept"],
    registry=REGISTRY,
)


class KeptOutcome(StrEnum):
    """Name what is stored of an outcome that Postgres refused; the only values of the label `kept`."""

    OUTCOME = "outcome"  # without the other data of the vendor
    NOTHING = "nothing"  # the notification ends in doubt


# Present from the start, so that the first increase is one.
for kept in KeptOutcome:
    RECORDING_FAILURES.labels(kept.value)
for channel in (Channel.PUSH, Channel.WEB_PUSH, Channel.WEBHOOK, Channel.CHAT):
    UNREADABLE_ADDRESSES.labels(channel.value)


def count_recording_failure(kept: KeptOutcome) -> None:
    RECORDING_FAILURES.labels(kept.value).inc()


def count_unreadable_address(channel: Channel) -> None:
    UNREADABLE_ADDRESSES.labels(channel.value).inc()


def count_attempt(provider: str, channel: Channel, state: AttemptState, reason: str | None = None) -> None:
    ATTEMPTS.labels(provider, channel.value, state.outcome or "none").inc()
    count_account_error(provider, reason)


def count_account_error(provider: str, reason: str | None) -> None:
    """Count the error if its reason is one of the account."""
    if reason is not None and is_account_code(reason):
        ACCOUNT_ERRORS.labels(provider, reason).inc()


def observe_call(provider: str, seconds: float) -> None:
    ATTEMPT_SECONDS.labels(provider).observe(seconds)


def observe_first_attempt(ledger: Ledger, priority: int, waited: timedelta) -> None:
    """Record the delay of the first attempt. Skip redrives, whose delay is the operator's. `ledger` already has the
    attempt."""
    if ledger.generation == 1 and len(ledger.attempts) == 1:
        FIRST_ATTEMPT_SECONDS.labels(str(priority)).observe(max(waited.total_seconds(), 0))
