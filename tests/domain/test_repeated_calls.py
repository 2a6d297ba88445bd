"""Test which call a resend repeats, and for how long."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.evidence import AttemptState
from domain.records import AttemptRecord, Ledger
from domain.repeated_calls import find_repeated_call, is_repeatable
from domain.statuses import NotificationStatus

DELIVERY = UUID(int=1)
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
U, N, S = AttemptState.UNKNOWN, AttemptState.NOT_ACCEPTED, AttemptState.SUBMITTING


def attempt(number: int, state: AttemptState, **changes: Any) -> AttemptRecord:
    fields: dict[str, Any] = {"endpoint_id": "email", "provider": "resend", "delivery_id": DELIVERY, **changes}
    return AttemptRecord(id=UUID(int=100 + number), number=number, state=state, started_at=AT, **fields)


def repeated(*attempts: AttemptRecord) -> int | None:
    """Return the number of the attempt that the last one repeats."""
    ledger = Ledger(
        notification_id=UUID(int=2),
        tenant=UUID(int=3),
        generation=1,
        revision=1,
        status=NotificationStatus.PENDING,
        attempts={each.id: each for each in attempts},
    )
    found = find_repeated_call(ledger, attempts[-1])
    return found.number if found else None


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [
        ([], None),
        ([attempt(1, N)], None),
        ([attempt(1, U)], 1),
        ([attempt(1, N), attempt(2, U), attempt(3, U)], 2),
        ([attempt(1, U), attempt(2, N)], 1),
        ([attempt(1, U, provider="smtp"), attempt(2, U)], 2),
        ([attempt(1, U, endpoint_id="another")], None),
        ([attempt(1, U, delivery_id=UUID(int=9))], None),
        ([attempt(1, U, reason="restored")], None),
        ([attempt(1, U), attempt(2, U, reason="repeat_refused")], None),
        ([attempt(1, U), attempt(2, U, reason="repeat_too_late")], None),
    ],
)
def test_a_call_repeats_the_first_one_with_an_unknown_outcome(
    earlier: list[AttemptRecord], expected: int | None
) -> None:
    assert repeated(*earlier, attempt(9, S)) == expected


def test_an_attempt_with_an_unknown_outcome_counts_itself_but_no_later_one() -> None:
    assert repeated(attempt(1, N), attempt(2, U)) == 2
    assert repeated(attempt(5, U), replace(attempt(4, U), number=4)) == 4


@pytest.mark.parametrize(
    ("after", "window", "expected"),
    [
        (timedelta(hours=23), timedelta(hours=24), True),
        (timedelta(hours=24), timedelta(hours=24), False),
        (timedelta(), timedelta(), False),
    ],
)
def test_a_call_can_be_repeated_within_the_window(after: timedelta, window: timedelta, expected: bool) -> None:
    assert is_repeatable(AT, window, AT + after) is expected
    assert not is_repeatable(None, window, AT)
