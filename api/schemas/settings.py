"""Models of the settings of a tenant."""

from typing import Annotated

from pydantic import AfterValidator, Field

from api.schemas.base import Key, Model, max_members
from api.schemas.contact import ChatUrl, Locale, TimeZone
from api.schemas.emails import MailboxBody
from api.schemas.timing import LimitFields
from domain.chat_urls import ChatService
from domain.json_types import Json
from domain.stored_limits import DEFAULT_CONTENT_DAYS, DEFAULT_RECORD_DAYS, MAX_CHAT_ROOMS, MAX_RETENTION_DAYS
from services.contact_rules import REGIONS

EXAMPLE: Json = {
    "default_language": "en",
    "timezone": "Europe/Vienna",
    "frequency_cap": {"limit": 20, "per": "1d"},
    "content_days": DEFAULT_CONTENT_DAYS,
    "record_days": DEFAULT_RECORD_DAYS,
    "phone_regions": ["AT", "DE"],
    "email_sender": {"email": "orders@example.com", "name": "Orders"},
    "email_reply_to": None,
    "chat_rooms": {"ops": {"chat_service": "slack"}},
}


def _check_regions(value: list[str]) -> list[str]:
    if not REGIONS.issuperset(value):
        raise ValueError("must be region codes of ISO 3166, in capital letters, such as AT")
    return sorted(set(value))


PhoneRegions = Annotated[
    list[Annotated[str, Field(min_length=2, max_length=2)]],
    Field(
        min_length=1,
        max_length=300,
        description="Regions (ISO 3166, such as AT) whose phone numbers are accepted and used; null allows all. "
        "A number of an unknown region is in none of them.",
    ),
    AfterValidator(_check_regions),
]
ChatRoomChanges = Annotated[
    dict[Key, ChatUrl | None],
    Field(max_length=MAX_CHAT_ROOMS),
    max_members(MAX_CHAT_ROOMS),
]
DayCount = Annotated[int, Field(ge=1, le=MAX_RETENTION_DAYS)]
WEBHOOK_EXAMPLE = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class FrequencyCap(LimitFields):
    """The maximum number of notifications to one recipient, over all types. `required` types and priorities 1 and 2 are
    exempt. Notifications over the cap wait, most urgent first; those of a type with a `digest` are collected."""


class ChatRoomView(Model):
    """A chat room of the tenant. Its URL is never returned."""

    chat_service: ChatService | None


class TenantSettings(Model):
    default_language: Annotated[Locale, Field(description="Language of recipients whose own language has no template.")]
    timezone: Annotated[TimeZone, Field(description="Time zone of recipients without one.")]
    frequency_cap: FrequencyCap | None
    content_days: Annotated[
        DayCount,
        Field(
            description=(
                "Days after the end of a notification until its payload, its rendered content and the responses of "
                "providers are removed. Such a notification cannot be redriven."
            )
        ),
    ]
    record_days: Annotated[
        DayCount,
        Field(
            description="Days after the end of a notification until it is deleted. Must not be less than content_days."
        ),
    ]
    phone_regions: PhoneRegions | None
    email_sender: MailboxBody | None
    email_reply_to: MailboxBody | None
    chat_rooms: Annotated[dict[str, ChatRoomView], Field(description="Chat rooms by name.")]


class TenantChanges(Model):
    """Absent members stay. A cap, the regions and the mailboxes are replaced as a whole; null removes them.
    `chat_rooms` is merged by name; null removes all rooms."""

    default_language: Locale | None = None
    timezone: TimeZone | None = None
    frequency_cap: FrequencyCap | None = None
    content_days: DayCount | None = None
    record_days: DayCount | None = None
    phone_regions: PhoneRegions | None = None
    email_sender: MailboxBody | None = None
    email_reply_to: MailboxBody | None = None
    chat_rooms: Annotated[
        ChatRoomChanges | None,
        Field(
            description="URLs of chat rooms by name, as `chat_url` of a recipient. Other rooms stay; null removes a "
            f"room. A tenant has at most {MAX_CHAT_ROOMS}."
        ),
    ] = None


class WebhookSecret(Model):
    secret: Annotated[
        str, Field(description="`whsec_` and base64, the format of Standard Webhooks.", examples=[WEBHOOK_EXAMPLE])
    ]
