"""A notification in the terminal: what happened to it, when and why; used by `show`, `tail` and `send --wait`."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Json = dict[str, Any]

COLOURS = {
    "DELIVERED": "green",
    "OPENED": "green",
    "SENT": "green",
    "PENDING": "yellow",
    "FAILED": "red",
    "IN_DOUBT": "red",
}
GOOD = ("SENT", "DELIVERED", "OPENED")


def show(console: Console, shown: Json) -> None:
    reason = f"  {escape(shown['failure_reason'])}" if shown["failure_reason"] else ""
    console.print(f"{coloured(shown['status'])}{reason}  {escape(shown['notification_type'])} to {_person(shown)}")
    console.print(_deliveries(shown["deliveries"])) if shown["deliveries"] else None
    console.print(timeline(shown["timeline"]))
    console.print(shown["id"], highlight=False)
    if shown["temporal_url"]:
        console.print(shown["temporal_url"], soft_wrap=True, highlight=False)


def timeline(entries: list[Json]) -> Table:
    table = Table.grid(padding=(0, 2))
    for entry in entries:
        table.add_row(*_cells(entry))
    return table


def news(shown: Json, entry: Json) -> Table:
    """One entry of one of many notifications, on a line of its own."""
    table = Table.grid(padding=(0, 2))
    who = f"{escape(shown['notification_type'])} to {_person(shown)}"
    at, *rest = _cells(entry)
    table.add_row(at, f"[dim]{shown['id'][-6:]}[/]", who, *rest)
    return table


def coloured(status: str) -> str:
    return f"[bold {COLOURS.get(status, 'yellow')}]{status}[/]"


def _cells(entry: Json) -> tuple[str, ...]:
    facts = [escape(text) for text in _facts(entry)]
    status = coloured(entry["status"]) if entry["status"] else ""
    return _clock(entry["at"]), entry["kind"], entry["channel"] or "", " ".join(filter(None, [*facts, status]))


def _facts(entry: Json) -> Iterator[str]:
    if entry["reason"]:
        yield entry["reason"]
    for name, value in (entry["detail"] or {}).items():
        yield f"{name}={value}"


def _deliveries(deliveries: list[Json]) -> Table:
    table = Table.grid(padding=(0, 2))
    for one in deliveries:
        words = [f"{one['template_name']} v{one['template_version']} {one['language']}" if one["template_name"] else ""]
        tries = len(one["attempts"])
        words += [f"{tries} {'try' if tries == 1 else 'tries'}" if tries else "", one["failure_reason"] or ""]
        words = [escape(word) for word in words]
        table.add_row(f"  {one['channel']}", coloured(one["status"]), one["provider"] or "", *words)
    return table


def _person(shown: Json) -> str:
    return escape(str(shown["recipient_id"]))


def _clock(time: str) -> str:
    """In the time of this machine; the date where it is not today's."""
    at = datetime.fromisoformat(time).astimezone()
    today = at.date() == datetime.now(at.tzinfo).date()
    return at.strftime("%H:%M:%S.%f" if today else "%Y-%m-%d %H:%M:%S.%f")[:-3]
