"""Define a notification type: its route, templates and rules, as stored in `spec` and pinned when a send is
accepted."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from domain.channels import Channel
from domain.durations import parse_duration
from domain.email_options import Mailbox, mailbox_of
from domain.evidence import Evidence
from domain.stored_enums import StoredEnum
from domain.timing import Timing, timing_of

URGENT_PRIORITY = 2  # priorities 1 and 2 start immediately and no time gate or cap holds them
SILENT_CHANNELS = (Channel.IN_APP, Channel.WEBHOOK)
GIVE_UP_AFTER = timedelta(hours=1)
GIVE_UP_AFTER_URGENT = timedelta(minutes=5)
MAX_RESENDS = 2


class Guarantee(StoredEnum):
    """Name what to do after an unknown outcome."""

    AT_LEAST_ONCE = "at_least_once"
    AT_MOST_ONCE = "at_most_once"
    RECONCILE = "reconcile"


class TemplatePolicy(StoredEnum):
    PINNED = "pinned"
    LATEST = "latest"


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteStep:
    """Group channels that are sent together. `goal` is the required evidence beyond "sent"; if it is not reached
    `within` this time, the next step runs."""

    channels: tuple[Channel, ...]
    goal: Evidence | None = None
    within: timedelta = timedelta()


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackingOptions:
    """Enable tracking of opens and clicks in email by our pixel and links. Off by default. `vendor` leaves it to the
    account at the provider whether the provider tracks too."""

    opens: bool = False
    clicks: bool = False
    vendor: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SmsOptions:
    """Enable the replacement of typographic characters that GSM-7 lacks (`rendering/sms_text.py`)."""

    fold_typography: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatOptions:
    """`room` is the tenant's chat room that gets the messages; None sends them to the recipient's own chat."""

    room: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationType:
    """Hold the rules of a type. `default` is on (True), off (False) or a switch per channel; `guarantee` None lets
    the provider decide. `max_resends` limits resends after unknown outcomes under `at_least_once`. `sender` and
    `reply_to` are those of its emails; None leaves them to the tenant."""

    id: UUID
    key: str
    category: str | None = None
    required: bool = False
    default: bool | dict[Channel, bool] = True
    priority: int = 3
    route: tuple[RouteStep, ...] = ()
    always: tuple[Channel, ...] = ()
    templates: dict[Channel, str] = field(default_factory=dict)
    template_policy: TemplatePolicy = TemplatePolicy.PINNED
    guarantee: Guarantee | None = None
    expires_in: timedelta | None = None
    give_up_after: timedelta | None = None
    max_resends: int = MAX_RESENDS
    tracking: TrackingOptions = TrackingOptions()
    sender: Mailbox | None = None
    reply_to: Mailbox | None = None
    sms: SmsOptions = SmsOptions()
    chat: ChatOptions = ChatOptions()
    timing: Timing = field(default_factory=Timing)

    @property
    def channels(self) -> list[Channel]:
        return [*self.always, *(channel for step in self.route for channel in step.channels)]

    def room_of(self, channel: Channel) -> str | None:
        """Return the tenant's chat room that gets the messages of the channel, or None for the recipient's address."""
        return self.chat.room if channel is Channel.CHAT else None

    def effective_expires_in(self, requested: timedelta | None) -> timedelta | None:
        """Return how long an accepted send is valid. A collected item does not expire: the limit of the type applies
        to the digest."""
        return requested or (None if self.timing.collects else self.expires_in)

    def is_held_by_quiet_hours(self, priority: int) -> bool:
        """Return whether quiet hours hold it: not if it is urgent or required, or if its channels make no noise."""
        loud = any(channel not in SILENT_CHANNELS for channel in self.channels)
        wanted = self.timing.respects_quiet_hours is not False
        return wanted and loud and not self.required and priority > URGENT_PRIORITY

    def effective_give_up_after(self, priority: int) -> timedelta:
        """Return how long the last step retries, counted from its first attempt."""
        return self.give_up_after or (GIVE_UP_AFTER_URGENT if priority <= URGENT_PRIORITY else GIVE_UP_AFTER)


def from_spec(id: UUID, spec: dict[str, Any]) -> NotificationType:
    """Build a type from its stored JSON, which the API has validated."""
    return NotificationType(
        id=id,
        key=spec["key"],
        category=spec.get("category"),
        required=spec.get("required", False),
        default=_switch(spec.get("default", "on")),
        priority=spec.get("priority", 3),
        route=tuple(_step(step) for step in spec["route"]),
        always=tuple(Channel(name) for name in spec.get("always") or ()),
        templates={Channel(channel): name for channel, name in spec["templates"].items()},
        template_policy=TemplatePolicy(spec.get("template_policy", TemplatePolicy.PINNED)),
        guarantee=Guarantee(spec["delivery_guarantee"]) if spec.get("delivery_guarantee") else None,
        expires_in=_duration(spec.get("expires_in")),
        give_up_after=_duration(spec.get("give_up_after")),
        max_resends=spec.get("max_resends", MAX_RESENDS),
        tracking=TrackingOptions(**(spec.get("tracking") or {})),
        sender=mailbox_of(spec.get("from")),
        reply_to=mailbox_of(spec.get("reply_to")),
        sms=SmsOptions(**(spec.get("sms") or {})),
        chat=ChatOptions(**(spec.get("chat") or {})),
        timing=timing_of(spec),
    )


def _step(spec: dict[str, Any]) -> RouteStep:
    until = spec.get("until")
    return RouteStep(
        channels=tuple(Channel(name) for name in spec["channels"]),
        goal=Evidence(until) if until and until != Evidence.SENT else None,
        within=_duration(spec.get("within")) or timedelta(),
    )


def _duration(text: str | None) -> timedelta | None:
    return parse_duration(text) if text else None


def _switch(value: str | dict[str, str]) -> bool | dict[Channel, bool]:
    if isinstance(value, str):
        return value == "on"
    return {Channel(channel): state == "on" for channel, state in value.items()}
