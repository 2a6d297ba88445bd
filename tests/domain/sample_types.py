"""Build notification types for tests."""

from typing import Any
from uuid import UUID

from domain.notification_types import NotificationType, from_spec

TYPE_ID = UUID(int=7)


def sample_type(*steps: list[str], **more: Any) -> NotificationType:
    """Build a type with one route step per list of channels, and a template for each of them."""
    route = [{"channels": list(step)} for step in steps or (["email"],)]
    templates = {channel: f"{channel} words" for step in route for channel in step["channels"]}
    return from_spec(TYPE_ID, {"key": "order.shipped", "route": route, "templates": templates, **more})
