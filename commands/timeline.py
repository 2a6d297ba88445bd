"""Format a notification for the terminal: its status, deliveries and timeline. Used by `show`, `tail` and `send
--wait`."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Console
from rich.markup import escape

from domain.json_types import Json

COLORS = {
    "DELIVERED": "green",
    "OPENED": "green",
    "SENT": "green",
    "PENDING": "yellow",
    "FAILED": "red",
    "IN_DOUBT": "red",
}
# The length of `attempt_not_accepted`, the longest kind.
ENTRY_WIDTH = 20
PROVIDER_WIDTH = 8
SUCCESS_STATUSES = ("SENT", "DELIVERED", "OPENED")


def print_notification(console: Console, notification: Json) -> None:
    for line in notification_lines(notification):
        console.print(line, soft_wrap=True)


def notification_lines(notification: Json) -> Iterator[str]:
    """Yield status and reason, each delivery, the timeline, and the id with the URL of its workflow."""
    reason = f"  {escape(notification['failure_reason'])}" if notification["failure_reason"] else ""
    yield f"{colored(notification['status'])}{reason}  {_subject_of(notification)}"
    yield from map(_delivery_line, notification["deliveries"])
    yield from map(_entry_line, notification["timeline"])
    yield notification["id"]
    if notification["temporal_url"]:
        yield escape(notification["temporal_url"])


def tail_line(notification: Json, entry: Json) -> str:
    """Return one entry of the timeline, prefixed with its notification."""
    at, rest = _entry_line(entry).split("  ", 1)
    return f"{at}  [dim]{notification['id'][-6:]}[/]  {_subject_of(notification):<28} {rest}".rstrip()


def colored(status: str, width: int = 0) -> str:
    """Return the status in color, padded with spaces outside the color, so that they can be trimmed."""
    return f"[bold {COLORS.get(status, 'yellow')}]{status}[/]{'':<{max(0, width - len(status))}}"


def _entry_line(entry: Json) -> str:
    facts = [entry["reason"] or "", *(f"{name}={value}" for name, value in (entry["detail"] or {}).items())]
    words = [escape(fact) for fact in facts if fact] + ([colored(entry["status"])] if entry["status"] else [])
    what = f"{entry['kind']:<{ENTRY_WIDTH}} {entry['channel'] or '':<8}"
    return f"{time_text(entry['at'])}  {what} {' '.join(words)}".rstrip()


def _delivery_line(one: Json) -> str:
    attempts = len(one["attempts"])
    words = [
        f"{one['template_name']} v{one['template_version']} {one['language']}" if one["template_name"] else "",
        f"{attempts} {'attempt' if attempts == 1 else 'attempts'}" if attempts else "",
        one["failure_reason"] or "",
    ]
    provider = f"{one['provider'] or '':<{PROVIDER_WIDTH}}"
    line = f"  {one['channel']:<8} {colored(one['status'], 10)} {escape('  '.join([provider, *filter(None, words)]))}"
    return line.rstrip()


def _subject_of(notification: Json) -> str:
    return escape(f"{notification['notification_type']} to {notification['recipient_id']}")


def time_text(time: str) -> str:
    """Return the local time, with the date unless it is today."""
    at = datetime.fromisoformat(time).astimezone()
    today = at.date() == datetime.now(at.tzinfo).date()
    return at.strftime("%H:%M:%S.%f" if today else "%Y-%m-%d %H:%M:%S.%f")[:-3]
