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
MOVES = ("status", "finished_at", "failure_reason")


@dataclass
class Tail:
    """`tell(notification, entry)` for each entry that was not told yet."""

    api: Api
    tell: Tell
    recipient: str | None = None
    type: str | None = None
    _states: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    _told: dict[str, int] = field(default_factory=dict)

    async def once(self, count: int) -> None:
        """The newest `count` notifications; only those that moved since are asked about."""
        wanted = {"recipient_id": self.recipient, "notification_type": self.type}
        page = await self.api.get("/notifications", limit=count, **wanted)
        moved = [one for one in page["items"] if self._states.get(one["id"]) != _state(one)]
        shown = await asyncio.gather(*(self.api.get(f"/notifications/{one['id']}") for one in moved))
        fresh = [(one, entry) for one in shown for entry in one["timeline"][self._told.get(one["id"], 0) :]]
        for one, entry in sorted(fresh, key=lambda each: datetime.fromisoformat(each[1]["at"])):
            self.tell(one, entry)
        self._states |= {one["id"]: _state(one) for one in shown}
        self._told |= {one["id"]: len(one["timeline"]) for one in shown}

    async def follow(self, count: int) -> None:
        while True:
            await self.once(count)
            await asyncio.sleep(POLL_SECONDS)


def _state(one: Json) -> tuple[Any, ...]:
    return tuple(one[name] for name in MOVES)
