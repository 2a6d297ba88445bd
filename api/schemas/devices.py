"""A phone or browser of a person, as it is registered and as it is shown: never its token."""

from typing import Annotated

from pydantic import Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from api.schemas.base import Json, Model, Timestamp
from api.schemas.contact import Locale, WebUrl
from domain.channels import DeviceKind

DeviceKindName = Annotated[DeviceKind, Field(strict=False)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=4_096, pattern=r"^[!-~]+$")]
PushKey = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[!-~]+$")]

# Of a shorter token the last four characters would tell too much.
SHOWN_CHARACTERS = 4
MIN_LENGTH_SHOWN = 16


class PushKeys(Model):
    p256dh: PushKey
    auth: PushKey


class Subscription(Model):
    """A browser's `PushSubscription.toJSON()`, whose `expirationTime` is taken and not kept."""

    endpoint: WebUrl
    keys: PushKeys
    expirationTime: float | None = None


class DeviceRegistration(Model):
    kind: DeviceKindName
    token: Annotated[Token | None, Field(validate_default=True, description="For fcm and apns.")] = None
    subscription: Annotated[Subscription | None, Field(validate_default=True, description="For web_push.")] = None
    locale: Locale | None = None

    @field_validator("token", "subscription")
    @classmethod
    def _check_kind(cls, value: Token | Subscription | None, info: ValidationInfo) -> Token | Subscription | None:
        kind = info.data.get("kind")
        if kind is None:
            return value
        is_required = (kind is DeviceKind.WEB_PUSH) == (info.field_name == "subscription")
        if is_required and value is None:
            raise PydanticCustomError("missing", "is required")
        if not is_required and value is not None:
            raise ValueError(f"does not belong to the kind {kind}")
        return value


class DeviceView(Model):
    """`token_ends` is the last four characters of a token, for a person to tell two apart."""

    device: str
    kind: DeviceKind
    locale: str | None
    token_ends: str | None
    created_at: Timestamp
    updated_at: Timestamp


def address_of(model: DeviceRegistration) -> Json:
    if model.subscription is None:
        return {"token": model.token}
    return {"subscription": model.subscription.model_dump(exclude={"expirationTime"})}


def token_ending_of(address: Json) -> str | None:
    token = address.get("token", "")
    return token[-SHOWN_CHARACTERS:] if len(token) >= MIN_LENGTH_SHOWN else None
