"""Models of a recipient's devices, which never show a token."""

from typing import Annotated

from pydantic import Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from api.schemas.base import Model, Timestamp
from api.schemas.contact import Locale, WebUrl
from domain.channels import DeviceKind
from domain.json_types import Json

DeviceKindName = Annotated[DeviceKind, Field(strict=False)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=4_096, pattern=r"^[!-~]+$")]
PushKey = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[!-~]+$")]

# The example of RFC 8292.
PUBLIC_KEY = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"

# The last four characters of a shorter token would reveal too much.
SHOWN_CHARACTERS = 4
MIN_LENGTH_SHOWN = 16


class PushKeys(Model):
    p256dh: PushKey
    auth: PushKey


class Subscription(Model):
    """A browser's `PushSubscription.toJSON()`. `expirationTime` is accepted and not stored."""

    endpoint: WebUrl
    keys: PushKeys
    expirationTime: float | None = None


class DeviceRegistration(Model):
    kind: DeviceKindName
    token: Annotated[Token | None, Field(validate_default=True, description="Required for fcm and apns.")] = None
    subscription: Annotated[Subscription | None, Field(validate_default=True, description="Required for web_push.")] = (
        None
    )
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
    """`token_ends` is the last four characters of a token, to distinguish devices."""

    device: str
    kind: DeviceKind
    locale: str | None
    token_ends: str | None
    created_at: Timestamp
    updated_at: Timestamp


class WebPushKey(Model):
    public_key: Annotated[
        str, Field(description="The `applicationServerKey` of a subscription, as base64url.", examples=[PUBLIC_KEY])
    ]


def address_of(model: DeviceRegistration) -> Json:
    if model.subscription is None:
        return {"token": model.token}
    return {"subscription": model.subscription.model_dump(exclude={"expirationTime"})}


def token_ending_of(address: Json) -> str | None:
    token = address.get("token", "")
    return token[-SHOWN_CHARACTERS:] if len(token) >= MIN_LENGTH_SHOWN else None
