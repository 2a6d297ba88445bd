"""Parse reasons as tests write them: `retries_exhausted: timeout`, or `email: bounced; sms: no_address`."""

from domain.channels import Channel
from domain.reasons import ChannelReason, Reason, reason_with_cause


def parse_reason(text: str) -> Reason:
    code, _, cause = text.partition(": ")
    return reason_with_cause(code, cause)


def parse_failures(text: str) -> tuple[ChannelReason, ...]:
    parts = [(part, *part.partition(": ")) for part in text.split("; ")]
    return tuple(
        ChannelReason(head, parse_reason(rest)) if head in set(Channel) else ChannelReason(None, parse_reason(part))
        for part, head, _, rest in parts
    )
