"""Models of a recipient's profile, as given inline in a send, stored by its routes, and returned; and of topics."""

from typing import Annotated

from pydantic import Field

from api.schemas.base import Id, Model, Timestamp
from api.schemas.contact import (
    ChatUrl,
    Email,
    Locale,
    Phone,
    RecipientId,
    TimeZone,
    WebUrl,
    ascii_email,
)
from api.schemas.devices import DeviceView
from domain.chat_urls import ChatService
from domain.json_types import Json
from domain.stored_limits import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTE_VALUES

CONTACT_FIELDS = ("email", "phone", "webhook_url", "chat_url")
PLAIN_FIELDS = ("locale", "timezone", "attributes")
ASCII_EMAIL_FIELD = "email_ascii"


class Profile(Model):
    email: Email | None = None
    phone: Phone | None = None
    locale: Locale | None = None
    timezone: TimeZone | None = None
    attributes: Annotated[
        Json | None,
        Field(
            description="Any data of the recipient, for templates. After a merge at most "
            f"{MAX_ATTRIBUTE_BYTES} bytes and {MAX_ATTRIBUTE_VALUES} JSON values."
        ),
    ] = None
    webhook_url: WebUrl | None = None
    chat_url: ChatUrl | None = None


class InlineRecipient(Profile):
    """A recipient given in the send. It is created, or its profile is merged with the given members; null counts as
    absent."""

    recipient_id: RecipientId


class RecipientView(Model):
    recipient_id: str
    email: str | None
    phone: str | None
    locale: str | None
    timezone: str | None
    attributes: Json
    webhook_url: str | None
    chat_service: ChatService | None
    devices: list[DeviceView]
    created_at: Timestamp
    updated_at: Timestamp


class ErasureAccepted(Model):
    """If the recipient id is an address, it is replaced by `erased-<erasure_id>`."""

    erasure_id: Id


class ErasureView(Model):
    """`counts` is the number of deleted or blanked rows of each kind."""

    id: Id
    requested_at: Timestamp
    finished_at: Timestamp | None
    counts: dict[str, int]


class TopicView(Model):
    """`subscribers` is the number of subscribers."""

    key: str
    subscribers: int


class SubscriberView(Model):
    recipient_id: str


def profile_of(model: Profile) -> Json:
    """Return `{contact, locale, timezone, attributes}` with the given parts; null counts as absent."""
    given = {name: getattr(model, name) for name in CONTACT_FIELDS + PLAIN_FIELDS if getattr(model, name) is not None}
    return _profile(given)


def changes_of(model: Profile) -> Json:
    """Return the given members for a merge. A member that is null clears the value."""
    return _profile(
        {name: getattr(model, name) for name in CONTACT_FIELDS + PLAIN_FIELDS if name in model.model_fields_set}
    )


def _profile(given: Json) -> Json:
    """Add the ASCII form to the email address, also where it is None, so that the form of a former address is
    replaced."""
    contact = {name: given[name] for name in CONTACT_FIELDS if name in given}
    if "email" in contact:
        contact[ASCII_EMAIL_FIELD] = contact["email"] and ascii_email(contact["email"])
    plain = {name: given[name] for name in PLAIN_FIELDS if name in given}
    return plain | ({"contact": contact} if contact else {})
