"""Define the messages of a run: one template, one type with one channel, one recipient without receipts."""

from typing import Any

# Accepted, without receipts: they would share the machine with the measurement.
ADDRESS = "ada+silent@example.com"
TEMPLATE = {
    "name": "bench",
    "channel": "email",
    "language": "en",
    "subject_template": "Your order {{ number }}",
    "body_template": "<p>Hello {{ name }}, your order {{ number }} is on its way.</p>",
    "variables_schema": {"type": "object", "properties": {"name": {"type": "string"}, "number": {"type": "integer"}}},
    "publish": True,
}
NOTIFICATION_TYPE = {"category": "orders", "route": [{"channels": ["email"]}], "templates": {"email": "bench"}}
RECIPIENT = {"email": ADDRESS, "locale": "en"}
PREPARATION = (
    ("POST", "/templates", TEMPLATE),
    ("PUT", "/notification-types/bench", NOTIFICATION_TYPE),
    ("PUT", "/recipients/ada", RECIPIENT),
)


def build_send(priority: int) -> dict[str, Any]:
    payload = {"name": "Ada", "number": 4711}
    return {"notification_type": "bench", "recipient_id": "ada", "payload": payload, "priority": priority}
