"""Look up attempts in SendGrid's Email Activity, an add-on of an account. Used by `sendgrid`.

https://www.twilio.com/docs/sendgrid/for-developers/sending-email/getting-started-email-activity-api
"""

from typing import Any

from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from providers.email_fields import email_of
from providers.outcomes import ProviderAcceptance, TemporaryError
from providers.vendor_queries import parse_records

# Other senders of the same account have their own arguments.
REFERENCE = "tocsin_attempt_id"


def build_query(message: OutgoingMessage) -> dict[str, str]:
    """Query by attempt id: the `custom_args` of a send are `unique_args` here."""
    return {"query": f"(unique_args['{REFERENCE}']=\"{message.attempt_id}\")", "limit": "10"}


def parse_matches(listing: Json, message: OutgoingMessage) -> list[ProviderAcceptance]:
    """Return the messages to this recipient. The vendor may ignore the condition and list others."""
    recipient = email_of(message).casefold()
    return [
        build_acceptance(each)
        for each in parse_records(listing, "messages")
        if str(each.get("to_email")).casefold() == recipient
    ]


def build_acceptance(record: Json) -> ProviderAcceptance:
    message_id = message_id_of(record.get("msg_id"))
    if message_id is None:
        raise TemporaryError("malformed_response")
    return ProviderAcceptance(message_id=message_id, response={"status": 200, "message_status": record.get("status")})


def message_id_of(text: Any) -> str | None:
    """Return the API's message id. Activity and webhook append a part for each recipient and attempt, after a dot."""
    return str(text).split(".")[0] if text else None
