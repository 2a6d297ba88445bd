"""Models of notification types."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from api.schemas.base import (
    CHANNEL_LIMIT,
    ChannelName,
    Channels,
    Duration,
    Key,
    Model,
    ShortText,
    Text,
    Timestamp,
    check_unique_channels,
    max_members,
)
from api.schemas.emails import MailboxBody
from api.schemas.sms import SmsSpec
from api.schemas.timing import DigestSpec, SendWindowSpec, ThrottleSpec
from domain.channels import Channel
from domain.durations import parse_duration
from domain.json_types import Json
from domain.notification_types import MAX_RESENDS

Switch = Literal["on", "off"]

EXAMPLE: Json = {
    "category": "ORDERS",
    "description": "A parcel is on its way",
    "default": {"sms": "off"},
    "priority": 3,
    "route": [{"channels": ["email"]}, {"channels": ["sms"]}],
    "templates": {"email": "order-shipped", "sms": "order-shipped"},
    "delivery_guarantee": "reconcile",
    "expires_in": "1d",
}


def _reject_unsupported(value: Any) -> Any:
    """Reject an unsupported field. Accepting it would make the type weaker than its definition."""
    if value:
        raise ValueError("is not supported yet")
    return value


def _default_form(value: object) -> str:
    return "by channel" if isinstance(value, dict) else "for all"


Unsupported = Annotated[Any, AfterValidator(_reject_unsupported), Field(description="Refused: not supported yet.")]
Goal = Literal["sent", "delivered", "opened", "clicked"] | None
AlwaysChannels = Annotated[
    list[ChannelName],
    Field(
        max_length=CHANNEL_LIMIT,
        json_schema_extra={"uniqueItems": True},
        description="Channels that are sent together with the first step, independent of its outcome.",
    ),
    AfterValidator(check_unique_channels),
]
DefaultSwitches = Annotated[
    Annotated[Switch, Tag("for all")]
    | Annotated[
        dict[ChannelName, Switch], Field(max_length=CHANNEL_LIMIT), max_members(CHANNEL_LIMIT), Tag("by channel")
    ],
    Discriminator(_default_form),
]


def _check_within(value: str | None) -> str | None:
    if value is not None and not timedelta() < parse_duration(value) <= timedelta(days=30):
        raise ValueError("must be greater than 0 and at most 30d")
    return value


class RouteStepSpec(Model):
    """The channels of a step are sent together. The next step runs when all of them failed, or when none of them is
    delivered, opened or clicked (`until`) in time (`within`)."""

    channels: Channels
    until: Goal = None
    within: Annotated[Duration | None, AfterValidator(_check_within)] = None

    @model_validator(mode="after")
    def _check_goal_has_time(self) -> Self:
        if (self.until in (None, "sent")) is not (self.within is None):
            raise ValueError(
                "`until` delivered, opened or clicked needs `within`, and `within` needs one of these goals"
            )
        return self


def _check_give_up_after(value: str | None) -> str | None:
    """Limit the time, because each retry adds to the workflow's history, which Temporal limits."""
    if value is not None and parse_duration(value) > timedelta(days=1):
        raise ValueError("must be at most 1d")
    return value


class TrackingSpec(Model):
    """Tracking of emails: a pixel that reports opens, and links that report clicks."""

    opens: bool = False
    clicks: bool = False
    vendor: Annotated[
        bool,
        Field(
            description=(
                "Also use the tracking of the provider as configured in its account. Otherwise the provider's tracking "
                "is off."
            )
        ),
    ] = False


class ChatSpec(Model):
    """Options of chat messages."""

    room: Annotated[
        Key,
        Field(
            description=(
                "A chat room of the tenant, as named in its settings. It gets the messages instead of the chat of the "
                "recipient, whose preferences still apply."
            ),
            examples=["ops"],
        ),
    ]


def _false_to_none(value: object) -> object:
    """Accept `tracking: false` as no tracking."""
    return None if value is False else value


class TypeFields(Model):
    category: ShortText | None = None
    description: Text | None = None
    required: bool = False
    default: DefaultSwitches = "on"
    priority: Annotated[int, Field(ge=1, le=5)] = 3
    route: Annotated[list[RouteStepSpec], Field(min_length=1, max_length=20)]
    templates: Annotated[dict[ChannelName, Key], Field(max_length=CHANNEL_LIMIT), max_members(CHANNEL_LIMIT)]
    template_policy: Literal["pinned", "latest"] = "pinned"
    delivery_guarantee: Literal["at_least_once", "at_most_once", "reconcile"] | None = None
    expires_in: Duration | None = None
    give_up_after: Annotated[Duration | None, AfterValidator(_check_give_up_after)] = None
    max_resends: Annotated[
        int,
        Field(
            ge=0, le=10, description="How often a message is sent again after unknown outcomes, with `at_least_once`."
        ),
    ] = MAX_RESENDS
    always: AlwaysChannels | None = None
    respects_quiet_hours: Annotated[
        bool | None,
        Field(
            description=(
                "Default: true for priorities 3 to 5, unless the type is `required` or has only in_app and webhook."
            )
        ),
    ] = None
    send_window: SendWindowSpec | None = None
    throttle: ThrottleSpec | None = None
    digest: Annotated[DigestSpec | None, Field(validate_default=True)] = None
    from_: MailboxBody | None = Field(None, alias="from")
    reply_to: MailboxBody | None = None
    tracking: Annotated[TrackingSpec | None, BeforeValidator(_false_to_none)] = None
    sms: SmsSpec | None = None
    chat: ChatSpec | None = None
    sensitive: Unsupported = None
    variants: Unsupported = None


class TypeBody(TypeFields):
    """The body of PUT. It may repeat `key`."""

    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    key: Key | None = None

    @field_validator("digest")
    @classmethod
    def _check_digest_of_throttle(cls, digest: DigestSpec | None, info: ValidationInfo) -> DigestSpec | None:
        throttle: ThrottleSpec | None = info.data.get("throttle")
        if digest is None and throttle is not None and throttle.on_exceed == "digest":
            raise ValueError("is required, because items over the `throttle` go into it")
        return digest

    @property
    def channels_sent_twice(self) -> list[Channel]:
        """Return the channels of `always` that are also on the route."""
        return [channel for channel in self.always or () if any(channel in step.channels for step in self.route)]

    @property
    def channels_without_template(self) -> list[Channel]:
        used_channels = dict.fromkeys(
            [*(self.always or ()), *(channel for step in self.route for channel in step.channels)]
        )
        return [channel for channel in used_channels if channel not in self.templates]

    def spec(self, key: str) -> Json:
        """Return the stored form. Defaults are written out, so that a later change of a default changes no type."""
        return {"key": key} | self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"key"})


class TypeResponse(TypeFields):
    key: str
    version: int
    created_at: Timestamp


class SavedType(TypeResponse):
    """`warnings` is present only if there are any, such as a goal that no provider reports, a missing template or a
    preference that names the former category."""

    warnings: list[str] = []
