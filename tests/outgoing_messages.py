"""Build messages as an adapter receives them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from domain.channels import Channel
from domain.outgoing_messages import OutgoingMessage

ADA = "ada@example.com"


def outgoing_message(channel: Channel = Channel.EMAIL, **changed: Any) -> OutgoingMessage:
    """Build a new message to Ada, by default an email. `changed` replaces fields."""
    fields: dict[str, Any] = {
        "attempt_id": uuid4(),
        "delivery_id": uuid4(),
        "notification_id": uuid4(),
        "tenant": UUID(int=7),
        "recipient_id": "ada",
        "notification_type": "order.shipped",
        "created_at": datetime.now(UTC),
        "endpoint_id": channel,
        "address": {"email": ADA},
        "content": {"subject": "Hi", "html": "<p>Hello</p>", "text": "Hello"},
    }
    return OutgoingMessage(channel=channel, **{**fields, **changed})
