"""Bodies of the notification type `order.shipped`."""

from typing import Any

SHIPPED: dict[str, Any] = {
    "category": "ORDERS",
    "route": [{"channels": ["email", "in_app"], "until": "sent"}, {"channels": ["sms"]}],
    "templates": {"email": "shipped", "in_app": "shipped", "sms": "shipped"},
    "default": {"sms": "off"},
    "priority": 2,
    "expires_in": "1d",
}
PATH = "/notification-types/order.shipped"


def changed(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (SHIPPED | changes).items() if value is not ...}
