"""Follow the timelines of notifications, oldest entry first: `tocsin tail`."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from commands.client import ApiClient
from domain.json_types import Json

PrintEntry = Callable[[Json, Json], None]

POLL_INTERVAL = 1.0
PAGE_SIZE = 100
MAX_WATCHED = 50  # only the newest notifications are followed
MAX_NEW = 1_000  # new notifications in one poll


@dataclass
class Tail:
    """Call `print_entry(notification, entry)` for each entry that was not printed yet."""

    api: ApiClient
    print_entry: PrintEntry
    recipient: str | None = None
    type: str | None = None
    _printed_counts: dict[str, int] = field(default_factory=dict)

    async def print_latest(self, count: int) -> None:
        """Print the entries of the newest `count` notifications."""
        await self._print_new_entries([one["id"] for one in (await self._page(count))["items"]])

    async def follow(self, count: int) -> None:
        await self.print_latest(count)
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            await self.poll()

    async def poll(self) -> None:
        """Print new entries of new notifications and of those printed before."""
        await self._print_new_entries([*await self._new_ids(), *list(self._printed_counts)[:MAX_WATCHED]])

    async def _new_ids(self) -> list[str]:
        """Return the ids of new notifications, newest first."""
        new: list[str] = []
        cursor = None
        while len(new) < MAX_NEW:
            page = await self._page(PAGE_SIZE, cursor)
            for one in page["items"]:
                if one["id"] in self._printed_counts:
                    return new
                new.append(one["id"])
            cursor = page["next_cursor"]
            if cursor is None:
                return new
        return new

    async def _page(self, count: int, cursor: str | None = None) -> Json:
        filters = {"recipient_id": self.recipient, "notification_type": self.type}
        return await self.api.get("/notifications", limit=count, cursor=cursor, **filters)

    async def _print_new_entries(self, ids: list[str]) -> None:
        """Read each notification, because an entry such as a click may change nothing that a list shows."""
        notifications = await asyncio.gather(*(self.api.get(f"/notifications/{id}") for id in ids))
        new_entries = [
            (one, entry) for one in notifications for entry in one["timeline"][self._printed_counts.get(one["id"], 0) :]
        ]
        for one, entry in sorted(new_entries, key=lambda each: datetime.fromisoformat(each[1]["at"])):
            self.print_entry(one, entry)
        self._printed_counts = {one["id"]: len(one["timeline"]) for one in notifications}
