"""Look up attempts in Mailgun's events. Used by `mailgun`.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/events/get-v3-domain_name-events
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from providers.email_fields import build_headers
from providers.outcomes import ProviderAcceptance, TemporaryError
from providers.vendor_queries import parse_records

# Other senders of the same account have their own variables.
REFERENCE = "tocsin_attempt_id"
PAGE_SIZE = 300
CLOCK_TOLERANCE = timedelta(minutes=5)


def message_id_of(attempt_id: UUID | None, vendor_id: Any) -> str | None:
    """Return the id of an attempt's message. Mailgun's is the Message-ID, which all attempts of a delivery have."""
    own = str(vendor_id or "").strip("<>")
    return f"{own}/{attempt_id}" if own and attempt_id else own or None


def build_query(message: OutgoingMessage, sender_domain: str, since: datetime) -> dict[str, str]:
    """Query by Message-ID: variables are no search field. A rejected message was accepted by the call, too."""
    return {
        "message-id": build_headers(message, sender_domain)["Message-ID"].strip("<>"),
        "event": "accepted OR rejected",
        "begin": str(int((since - CLOCK_TOLERANCE).timestamp())),
        "ascending": "yes",
        "limit": str(PAGE_SIZE),
    }


def parse_matches(listing: Json, message: OutgoingMessage) -> list[ProviderAcceptance]:
    """Return the message of this attempt. It has an event for each recipient, and other attempts are listed too."""
    events = parse_records(listing, "items")
    found = [event for event in events if variables_of(event).get(REFERENCE) == str(message.attempt_id)]
    if len(events) >= PAGE_SIZE and not found:
        raise TemporaryError("malformed_response")
    message_ids = dict.fromkeys(message_id_of(message.attempt_id, vendor_id_of(event)) for event in found)
    if None in message_ids:
        raise TemporaryError("malformed_response")
    return [ProviderAcceptance(message_id=each, response={"status": 200}) for each in message_ids]


def variables_of(event: Json) -> Json:
    variables = event.get("user-variables")
    return variables if isinstance(variables, dict) else {}


def vendor_id_of(event: Json) -> Any:
    """Return the Message-ID, which is Mailgun's id of the message."""
    message = event.get("message")
    headers = message.get("headers") if isinstance(message, dict) else None
    return headers.get("message-id") if isinstance(headers, dict) else None
