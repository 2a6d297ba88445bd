"""SendGrid's Email Activity, an add-on of an account: how it is asked for an attempt, and what it has of it.

https://www.twilio.com/docs/sendgrid/for-developers/sending-email/getting-started-email-activity-api
"""

from typing import Any

from domain.outgoing import Message
from providers.outcomes import Accepted, Json, Temporary
from providers.questions import records

# Other senders of the same account have arguments of their own.
REFERENCE = "tocsin_attempt_id"


def query_for(message: Message) -> dict[str, str]:
    """By our reference: its `unique_args` are what a send calls `custom_args`."""
    return {"query": f"(unique_args['{REFERENCE}']=\"{message.attempt_id}\")", "limit": "10"}


def found(told: Json, message: Message) -> list[Accepted]:
    """A condition that it passed over would list everybody's: the recipient must be ours too."""
    ours = recipient_of(message).casefold()
    return [accepted(each) for each in records(told, "messages") if str(each.get("to_email")).casefold() == ours]


def accepted(record: Json) -> Accepted:
    message_id = message_id_of(record.get("msg_id"))
    if message_id is None:
        raise Temporary("malformed_answer")
    return Accepted(message_id=message_id, response={"status": 200, "message_status": record.get("status")})


def recipient_of(message: Message) -> str:
    return str(message.address.get("email_ascii") or message.address["email"])


def message_id_of(text: Any) -> str | None:
    """Activity and webhook put a part for each recipient and try behind the id of the API's answer, after a dot."""
    return str(text).split(".")[0] if text else None
