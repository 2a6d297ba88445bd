"""`tocsin tail`: what happens to notifications, entry by entry, oldest first."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from commands.client import Api

Json = dict[str, Any]
Tell = Callable[[Json, Json], None]

POLL_SECONDS = 1.0
PAGE = 100
WATCHED = 50  # of the newest: what came before is followed no more
AT_MOST = 1_000  # new ones in one poll


@dataclass
class Tail:
    """`tell(notification, entry)` for each entry that was not told yet."""

    api: Api
    tell: Tell
    recipient: str | None = None
    type: str | None = None
    _told: dict[str, int] = field(default_factory=dict)

    async def once(self, count: int) -> None:
        """The newest `count` notifications."""
        await self._look([one["id"] for one in (await self._page(count))["items"]])

    async def follow(self, count: int) -> None:
        await self.once(count)
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.again()

    async def again(self) -> None:
        """What is new by now, of what was looked at before too."""
        await self._look([*await self._new(), *list(self._told)[:WATCHED]])

    async def _new(self) -> list[str]:
        """Newest first, down to the first that is known."""
        new: list[str] = []
        cursor = None
        while len(new) < AT_MOST:
            page = await self._page(PAGE, cursor)
            for one in page["items"]:
                if one["id"] in self._told:
                    return new
                new.append(one["id"])
            cursor = page["next_cursor"]
            if cursor is None:
                return new
        return new

    async def _page(self, count: int, cursor: str | None = None) -> Json:
        wanted = {"recipient_id": self.recipient, "notification_type": self.type}
        return await self.api.get("/notifications", limit=count, cursor=cursor, **wanted)

    async def _look(self, ids: list[str]) -> None:
        """An entry may change nothing that a list would show, such as a click: so each is asked for."""
        shown = await asyncio.gather(*(self.api.get(f"/notifications/{id}") for id in ids))
        fresh = [(one, entry) for one in shown for entry in one["timeline"][self._told.get(one["id"], 0) :]]
        for one, entry in sorted(fresh, key=lambda each: datetime.fromisoformat(each[1]["at"])):
            self.tell(one, entry)
        self._told = {one["id"]: len(one["timeline"]) for one in shown}
