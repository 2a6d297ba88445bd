"""Build the history of a notification from its deliveries, attempts and events."""

from typing import Any

from domain.channels import Channel
from domain.evidence import AttemptState
from domain.explaining.explanations import explain
from domain.explaining.histories import AttemptHistory, DeliveryHistory, NotificationHistory
from domain.json_types import Json
from domain.records import TimelineEvent
from domain.statuses import DeliveryStatus, NotificationStatus
from tests.domain.ledgers import ident, later

D, N, S = DeliveryStatus, NotificationStatus, AttemptState
EMAIL, SMS, PUSH = Channel.EMAIL, Channel.SMS, Channel.PUSH
NOW = later(100)


def story(
    *rows: DeliveryHistory | AttemptHistory | TimelineEvent, status: NotificationStatus = N.PENDING, **more: Any
) -> NotificationHistory:
    fields: dict[str, Any] = {
        "notification_type": "order.shipped",
        "type_version": 3,
        "priority": 3,
        "status": status,
        "generation": 1,
        "failures": (),
        "created_at": later(0),
        "send_at": None,
        "expires_at": None,
        "finished_at": None,
        "cancel_requested_at": None,
        "dispatched_at": later(1),
        "dispatch_at": later(0),
        "route": ((EMAIL,),),
        **more,
    }
    return NotificationHistory(
        **fields,
        deliveries=tuple(row for row in rows if isinstance(row, DeliveryHistory)),
        attempts=tuple(row for row in rows if isinstance(row, AttemptHistory)),
        events=tuple(row for row in rows if isinstance(row, TimelineEvent)),
    )


def leg(channel: Channel = EMAIL, status: DeliveryStatus = D.SENDING, step: int = 1, **more: Any) -> DeliveryHistory:
    generation = more.pop("generation", 1)
    id = ident(channel, step, generation)
    return DeliveryHistory(id=id, generation=generation, step=step, channel=channel, status=status, **more)


def call(
    of: DeliveryHistory, state: AttemptState, at: float = 10, reason: str | None = None, **more: Any
) -> AttemptHistory:
    fields: dict[str, Any] = {"endpoint_id": of.channel, "number": 1, "provider": "sandbox", **more}
    ended = None if state is S.SUBMITTING else later(fields.pop("finished", at + 1))
    return AttemptHistory(
        delivery_id=of.id, state=state, started_at=later(at), finished_at=ended, reason=reason, **fields
    )


def event(kind: str, at: float, channel: Channel | None = None, **more: Any) -> TimelineEvent:
    return TimelineEvent(kind=kind, at=later(at), channel=channel, **more)


def asked(number: int = 1) -> Json:
    return {"provider": "sandbox", "attempt": number}


def receipt(word: str) -> Json:
    return {"provider": "sandbox", "receipt": word}


def explain_lines(of: NotificationHistory) -> list[str]:
    """Return the lines with the seconds since the beginning."""
    return [
        f"{(line.at - later(0)).total_seconds():g}: {line.text}" if line.at else line.text for line in explain(of, NOW)
    ]
