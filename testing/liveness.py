"""Track which parts under test have died. `eventually` checks while it waits, the plugin before each test."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_dead_parts: list[str] = []


@contextmanager
def watch_task(part: str, task: asyncio.Task[Any]) -> Iterator[None]:
    """Report the part as dead if its task ends inside the block."""
    reports: list[str] = []

    def report(ended: asyncio.Task[Any]) -> None:
        error = None if ended.cancelled() else ended.exception()
        reports.append(f"{part} ended unexpectedly: {error!r}")
        _dead_parts.extend(reports)

    task.add_done_callback(report)
    try:
        yield
    finally:
        task.remove_done_callback(report)
        for each in reports:
            _dead_parts.remove(each)


def find_dead_part() -> str | None:
    """Return the name of a dead part; None while all are alive."""
    return _dead_parts[0] if _dead_parts else None
