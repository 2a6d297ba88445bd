"""Reasons as tests write them: `gave_up: timeout`, and `email: bounced; sms: no_address` of a notification."""

from domain.channels import Channel
from domain.reasons import ChannelReason, Reason, because


def reason(text: str) -> Reason:
    code, _, cause = text.partition(": ")
    return because(code, cause)


def failures(text: str) -> tuple[ChannelReason, ...]:
    parts = [(part, *part.partition(": ")) for part in text.split("; ")]
    return tuple(
        ChannelReason(head, reason(rest)) if head in set(Channel) else ChannelReason(None, reason(part))
        for part, head, _, rest in parts
    )
