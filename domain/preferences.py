"""May this type use this channel for this person? Most specific rule first, and the rule that decided is named."""

from dataclasses import dataclass, field

from domain.channels import Channel
from domain.notification_types import NotificationType


@dataclass(frozen=True, kw_only=True, slots=True)
class Preferences:
    """Opt-ins of one person: per channel, and per type or category and channel. Absent means "not said"."""

    channels: dict[str, bool] = field(default_factory=dict)
    types: dict[str, dict[str, bool]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    allowed: bool
    rule: str


def decide(kind: NotificationType, channel: Channel, preferences: Preferences) -> Decision:
    """type x channel → category x channel → global channel → the type's default → on; `required` ignores opt-outs."""
    if kind.required:
        return Decision(allowed=True, rule="required")
    for name in (kind.key, kind.category):
        if name is not None and channel in preferences.types.get(name, {}):
            rule = f"type_channel_preferences.{name}.{channel}"
            return Decision(allowed=preferences.types[name][channel], rule=rule)
    if channel in preferences.channels:
        return Decision(allowed=preferences.channels[channel], rule=f"global_channel_opt_in.{channel}")
    return _by_default(kind, channel)


def _by_default(kind: NotificationType, channel: Channel) -> Decision:
    if isinstance(kind.default, bool):
        return Decision(allowed=kind.default, rule="type.default")
    if channel in kind.default:
        return Decision(allowed=kind.default[channel], rule=f"type.default.{channel}")
    return Decision(allowed=True, rule="on")
