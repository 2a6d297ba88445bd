"""Test what an open notification waits for, and until when."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.evidence import AttemptState, Evidence
from domain.gates import GateReason
from domain.waits import (
    NO_WAITS,
    CurrentWait,
    HoldState,
    NotificationWaits,
    WaitingCall,
    WaitingDelivery,
    WaitingRows,
    WaitReason,
    find_waits,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EMAIL, SMS = UUID(int=1), UUID(int=2)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def delivery(id: UUID = EMAIL, *calls: tuple[AttemptState, datetime | None], **more: Any) -> WaitingDelivery:
    waiting = tuple(WaitingCall(state=state, next_at=next_at) for state, next_at in calls)
    return WaitingDelivery(id=id, calls=waiting, **more)


def rows(*deliveries: WaitingDelivery, **more: Any) -> WaitingRows:
    return WaitingRows(deliveries=deliveries, **more)


S, W = AttemptState, WaitReason
GOAL: dict[str, Any] = {"awaited_evidence": Evidence.OPENED, "sent_at": NOW, "within": timedelta(minutes=10)}
HELD: dict[str, Any] = {"circuit_open": True, "probe_at": later(30), "throttled_until": later(60)}

CASES: dict[str, tuple[WaitingRows, WaitReason | None, datetime | None]] = {
    "its time": (rows(send_at=later(60)), W.SEND_AT, later(60)),
    "no time that has come": (rows(send_at=NOW), None, None),
    "its time, before a worker": (rows(send_at=later(60), is_queued=True), W.SEND_AT, later(60)),
    "a digest that it will join": (rows(collected=True, send_at=later(9)), W.DIGEST, None),
    "its digest": (rows(collected=True, closes_at=later(9)), W.DIGEST, later(9)),
    "quiet hours": (rows(gate="quiet_hours", gate_until=later(9)), W.QUIET_HOURS, later(9)),
    "its send window": (rows(gate="send_window", gate_until=later(9)), W.SEND_WINDOW, later(9)),
    "a limit of its type": (rows(gate="throttled", gate_until=later(9)), W.THROTTLED, later(9)),
    "a limit of the recipient": (rows(gate="frequency_capped", gate_until=later(9)), W.FREQUENCY_CAPPED, later(9)),
    "a provider's rate": (rows(gate="provider_busy (smtp)"), W.PROVIDER_BUSY, None),
    "a worker": (rows(is_queued=True), W.DISPATCH, None),
    "a pause, whatever else holds it": (rows(delivery(hold=HoldState(paused=True, **HELD))), W.PAUSED, None),
    "a circuit": (rows(delivery(hold=HoldState(**HELD))), W.CIRCUIT_OPEN, later(30)),
    "a provider that wants no calls": (
        rows(delivery(hold=HoldState(throttled_until=later(60)))),
        W.PROVIDER_THROTTLED,
        later(60),
    ),
    "its turn after a pause": (rows(delivery(hold=HoldState())), W.DISPATCH, None),
    "its next attempt": (rows(delivery(EMAIL, (S.NOT_ACCEPTED, later(4)))), W.RETRY, later(4)),
    "its next attempt, at least once": (rows(delivery(EMAIL, (S.UNKNOWN, later(4)))), W.RETRY, later(4)),
    "the first of its devices' next attempts": (
        rows(delivery(EMAIL, (S.NOT_ACCEPTED, later(8)), (S.NOT_ACCEPTED, later(4)), (S.REFUSED, None))),
        W.RETRY,
        later(4),
    ),
    "no attempt that is under way": (rows(delivery(EMAIL, (S.SUBMITTING, later(4)))), None, None),
    "no attempt, as another provider is called at once": (rows(delivery(EMAIL, (S.NOT_ACCEPTED, None))), None, None),
    "what became of an attempt": (
        rows(delivery(EMAIL, (S.UNKNOWN, later(120)), awaited_evidence=Evidence.SENT)),
        W.RECEIPT,
        later(120),
    ),
    "a goal": (rows(delivery(**GOAL)), W.GOAL, later(600)),
    "a goal, until it expires": (rows(delivery(**GOAL), expires_at=later(60)), W.GOAL, later(60)),
    "a goal of what may not have been sent": (rows(delivery(awaited_evidence=Evidence.OPENED)), W.GOAL, None),
    "nothing": (rows(delivery()), None, None),
}


@pytest.mark.parametrize(("open", "reason", "until"), CASES.values(), ids=CASES)
def test_an_open_notification_waits_for(open: WaitingRows, reason: WaitReason | None, until: datetime | None) -> None:
    wait = None if reason is None else CurrentWait(reason=reason, until=until)
    assert find_waits(open, NOW).of_notification == wait


def test_every_reason_is_in_the_table() -> None:
    assert {reason for _, reason, _ in CASES.values()} == {*WaitReason, None}
    assert {str(reason) for reason in GateReason} < {str(reason) for reason in WaitReason}


def test_the_notification_shows_the_wait_of_its_first_delivery_to_end() -> None:
    paused = delivery(hold=HoldState(paused=True))
    retried = delivery(SMS, (S.NOT_ACCEPTED, later(4)))
    first = CurrentWait(reason=W.RETRY, until=later(4))
    expected = NotificationWaits(of_notification=first, of_deliveries={EMAIL: CurrentWait(reason=W.PAUSED), SMS: first})
    assert find_waits(rows(paused, retried), NOW) == expected


def test_its_own_gate_precedes_the_waits_of_its_deliveries() -> None:
    open = rows(delivery(EMAIL, (S.NOT_ACCEPTED, later(4))), gate="quiet_hours", gate_until=later(60))
    assert find_waits(open, NOW).of_notification == CurrentWait(reason=W.QUIET_HOURS, until=later(60))


def test_a_reason_of_a_newer_version_is_not_shown() -> None:
    assert find_waits(rows(gate="moonrise"), NOW) == NO_WAITS
