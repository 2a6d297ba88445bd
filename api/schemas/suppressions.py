"""Models of suppressions: addresses to which nothing is sent."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError, ValidationInfo
from pydantic import field_validator as validates

from api.schemas.base import ChannelName, Duration, Id, Model, Timestamp
from api.schemas.contact import Email, Phone
from domain.channels import Channel
from domain.json_types import Json
from domain.suppressions import CONTACT_BY_CHANNEL, SuppressionReason

EXAMPLE: Json = {"channel": "email", "address": "ada@example.com", "reason": "opted_out", "expires_in": "90d"}
ADDRESS_ADAPTERS: dict[Channel, TypeAdapter[str]] = {Channel.EMAIL: TypeAdapter(Email), Channel.SMS: TypeAdapter(Phone)}
ADDRESS_ERRORS = {Channel.EMAIL: "must be an email address", Channel.SMS: "must be a phone number in E.164"}


def _check_listed(channel: Channel) -> Channel:
    if channel not in CONTACT_BY_CHANNEL:
        raise ValueError(f"must be one of {', '.join(CONTACT_BY_CHANNEL)}")
    return channel


def parse_address(channel: Channel, address: str) -> str:
    """Return the address as a profile would store it. Raise ValueError if the channel has no such address."""
    try:
        return ADDRESS_ADAPTERS[channel].validate_python(address)
    except ValidationError:
        raise ValueError(ADDRESS_ERRORS[channel]) from None


ListedChannel = Annotated[ChannelName, AfterValidator(_check_listed)]
ReasonName = Annotated[SuppressionReason, Field(strict=False)]


class SuppressionBody(Model):
    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    channel: ListedChannel
    address: Annotated[str, StringConstraints(max_length=320)]
    reason: ReasonName = SuppressionReason.MANUAL
    expires_in: Annotated[Duration | None, Field(description="By default the suppression does not expire.")] = None

    @validates("address")
    @classmethod
    def _check_address(cls, value: str, info: ValidationInfo) -> str:
        channel = info.data.get("channel")
        return value if channel is None else parse_address(channel, value)


class SuppressionView(Model):
    """`source` is `api` or the provider that reported it, with the unsubscribe group if it concerns one. `address` is
    null once its recipient is erased or has another address; it stays suppressed."""

    id: Id
    channel: ChannelName
    address: str | None
    reason: ReasonName
    source: str
    notification_id: Id | None
    created_at: Timestamp
    expires_at: Timestamp | None
    lifted_at: Timestamp | None
