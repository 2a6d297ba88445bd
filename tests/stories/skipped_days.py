"""Put the type and the recipient of a send that takes days of skipped time, and read the days of its timeline."""

from datetime import datetime, timedelta
from typing import Any

from testing.tocsin import Tocsin

PHONE = "+447700900123"


def add_type(tocsin: Tocsin, *route: dict[str, Any], **fields: Any) -> None:
    """Put the type `news`, with a template for each channel of its route."""
    channels = {channel for step in route for channel in step["channels"]}
    for channel in channels:
        subject = {"subject_template": "News"} if channel == "email" else {}
        body = {"name": "news", "channel": channel, "language": "en", "body_template": "Hello", **subject}
        tocsin.call("POST", "/templates", {**body, "variables_schema": {}, "publish": True})
    notification_type = {"route": route, "templates": dict.fromkeys(channels, "news"), **fields}
    tocsin.call("PUT", "/notification-types/news", notification_type)


def put_recipient(tocsin: Tocsin, email: str = "ada@example.com") -> None:
    tocsin.put_recipient("ada", email=email, phone=PHONE)


def list_days(notification: dict[str, Any], *kinds: str) -> list[float]:
    """Return the times of timeline entries of these kinds, in days after the acceptance."""
    entries = [(entry["kind"], datetime.fromisoformat(entry["at"])) for entry in notification["timeline"]]
    return [round((local_time - entries[0][1]) / timedelta(days=1), 3) for kind, local_time in entries if kind in kinds]
