"""Models of messages that recipients send to phone numbers of the installation."""

from typing import Annotated, Literal

from pydantic import Field

from api.schemas.base import Id, Model, Timestamp
from domain.channels import Channel
from domain.inbound_messages import Keyword
from domain.json_types import Json

EXAMPLE: Json = {
    "id": "01a204b3-5a10-7c11-9a2f-0d1e2f3a4b5d",
    "channel": "sms",
    "provider": "twilio",
    "provider_message_id": "SM8f1e0c2b3a4d5e6f7a8b9c0d1e2f3a4b",
    "from": "+4917012345678",
    "to": "+15005550006",
    "text": "Can you come at 5?",
    "keyword": None,
    "recipient_ids": ["ada"],
    "received_at": "2026-11-22T19:19:50.741990Z",
    "answered_at": None,
}
KeywordName = Annotated[Keyword, Field(strict=False)]


class InboundMessageView(Model):
    """An SMS of a recipient. `answered_at` is when Tocsin answered the keyword, for one of the tenants that the message
    concerns."""

    id: Id
    channel: Literal[Channel.SMS] = Channel.SMS
    provider: str
    provider_message_id: str | None
    from_number: Annotated[str, Field(serialization_alias="from")]
    to_number: Annotated[str, Field(serialization_alias="to")]
    text: str
    keyword: KeywordName | None
    recipient_ids: list[str]
    received_at: Timestamp
    answered_at: Timestamp | None
