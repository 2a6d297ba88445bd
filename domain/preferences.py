"""Decide whether a type may use a channel for a recipient. The most specific rule wins, and the result names it."""

from dataclasses import dataclass, field

from domain.channels import Channel
from domain.notification_types import NotificationType
from domain.reasons import Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipientPreferences:
    """Hold the opt-ins of one recipient: per channel, and per type or category and channel. Absent means not set."""

    channels: dict[str, bool] = field(default_factory=dict)
    types: dict[str, dict[str, bool]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelDecision:
    """Hold the decision. `preference` is the type or category that the recipient's own preference names.
    `by_default`: the recipient has none."""

    allowed: bool
    rule: str
    preference: str | None = None
    by_default: bool = False

    @property
    def refusal(self) -> Reason:
        """Return why the channel is not used, if it is not allowed."""
        named = {} if self.preference is None else {"preference": self.preference}
        return Reason("not_opted_in" if self.by_default else "opted_out", {"rule": self.rule, **named})


def decide_channel(
    notification_type: NotificationType, channel: Channel, preferences: RecipientPreferences
) -> ChannelDecision:
    """Apply type x channel → category x channel → global channel → the type's default → on; `required` ignores
    opt-outs."""
    if notification_type.required:
        return ChannelDecision(allowed=True, rule="required")
    for name in (notification_type.key, notification_type.category):
        if name is not None and channel in preferences.types.get(name, {}):
            rule = f"type_channel_preferences.{name}.{channel}"
            allowed = preferences.types[name][channel]
            return ChannelDecision(allowed=allowed, rule=rule, preference=name)
    if channel in preferences.channels:
        return ChannelDecision(allowed=preferences.channels[channel], rule=f"global_channel_opt_in.{channel}")
    return _by_default(notification_type, channel)


def _by_default(notification_type: NotificationType, channel: Channel) -> ChannelDecision:
    if isinstance(notification_type.default, bool):
        return ChannelDecision(allowed=notification_type.default, rule="type.default", by_default=True)
    if channel in notification_type.default:
        return ChannelDecision(
            allowed=notification_type.default[channel], rule=f"type.default.{channel}", by_default=True
        )
    return ChannelDecision(allowed=True, rule="on")


def allowed_reason_text(rule: str | None, channel: str) -> str:
    """Return in words why a channel may be used, by the rule that `decide_channel` names."""
    words = {
        "required": "the type is required, whatever the recipient prefers",
        "type.default": "the type is on by default",
        f"type.default.{channel}": f"the type is on for {channel} by default",
        f"global_channel_opt_in.{channel}": f"the recipient has {channel} turned on",
        "on": "no rule forbids it",
        None: "no rule forbids it",
    }
    if rule in words:
        return words[rule]
    name = str(rule).removeprefix("type_channel_preferences.").removesuffix(f".{channel}")
    return f"the recipient's preference for {name} allows it"
