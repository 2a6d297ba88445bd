"""A notification in the terminal: what happened to it, when and why; used by `show`, `tail` and `send --wait`."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

Json = dict[str, Any]

COLOURS = {
    "DELIVERED": "green",
    "OPENED": "green",
    "SENT": "green",
    "PENDING": "yellow",
    "FAILED": "red",
    "IN_DOUBT": "red",
}
# `attempt_not_accepted` is the longest.
KIND_WIDTH = 20
PROVIDER_WIDTH = 8
GOOD = ("SENT", "DELIVERED", "OPENED")


def show(console: Console, shown: Json) -> None:
    for line in account(shown):
        console.print(line, soft_wrap=True)


def account(shown: Json) -> Iterator[str]:
    """Status and reason, channel by channel, the timeline, and where to look further."""
    reason = f"  {escape(shown['failure_reason'])}" if shown["failure_reason"] else ""
    yield f"{coloured(shown['status'])}{reason}  {_whom(shown)}"
    yield from map(_delivery, shown["deliveries"])
    yield from map(_entry, shown["timeline"])
    yield shown["id"]
    if shown["temporal_url"]:
        yield escape(shown["temporal_url"])


def news(shown: Json, entry: Json) -> str:
    """One entry of one of many notifications."""
    at, rest = _entry(entry).split("  ", 1)
    return f"{at}  [dim]{shown['id'][-6:]}[/]  {_whom(shown):<28} {rest}".rstrip()


def coloured(status: str, width: int = 0) -> str:
    """The blanks stand behind the colour, where they can be cut off."""
    return f"[bold {COLOURS.get(status, 'yellow')}]{status}[/]{'':<{max(0, width - len(status))}}"


def _entry(entry: Json) -> str:
    facts = [entry["reason"] or "", *(f"{name}={value}" for name, value in (entry["detail"] or {}).items())]
    words = [escape(fact) for fact in facts if fact] + ([coloured(entry["status"])] if entry["status"] else [])
    what = f"{entry['kind']:<{KIND_WIDTH}} {entry['channel'] or '':<8}"
    return f"{clock(entry['at'])}  {what} {' '.join(words)}".rstrip()


def _delivery(one: Json) -> str:
    tries = len(one["attempts"])
    words = [
        f"{one['template_name']} v{one['template_version']} {one['language']}" if one["template_name"] else "",
        f"{tries} {'try' if tries == 1 else 'tries'}" if tries else "",
        one["failure_reason"] or "",
    ]
    provider = f"{one['provider'] or '':<{PROVIDER_WIDTH}}"
    line = f"  {one['channel']:<8} {coloured(one['status'], 10)} {escape('  '.join([provider, *filter(None, words)]))}"
    return line.rstrip()


def _whom(shown: Json) -> str:
    return escape(f"{shown['notification_type']} to {shown['recipient_id']}")


def clock(time: str) -> str:
    """In the time of this machine; the date where it is not today's."""
    at = datetime.fromisoformat(time).astimezone()
    today = at.date() == datetime.now(at.tzinfo).date()
    return at.strftime("%H:%M:%S.%f" if today else "%Y-%m-%d %H:%M:%S.%f")[:-3]
