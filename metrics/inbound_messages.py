"""Count the messages of recipients and the answers to their keywords. Incremented by `services` and `dispatch`."""

from prometheus_client import Counter

from metrics.registry import REGISTRY

INBOUND_MESSAGES = Counter(
    "tocsin_inbound_messages", "Messages of recipients.", ["provider", "outcome"], registry=REGISTRY
)
SMS_ANSWERS = Counter("tocsin_sms_answers", "Answers to keywords.", ["provider", "outcome"], registry=REGISTRY)


def count_inbound_message(provider: str, *, is_stored: bool) -> None:
    INBOUND_MESSAGES.labels(provider, "stored" if is_stored else "unknown_number").inc()


def count_sms_answer(provider: str, outcome: str) -> None:
    """`outcome` is accepted, refused or error."""
    SMS_ANSWERS.labels(provider, outcome).inc()
