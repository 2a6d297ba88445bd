"""What a fault gets to work with: the servers, the senders, the books, and a place for what must hold afterwards."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.faults.books import Books
from tests.faults.crowd import Crowd, Sent
from tests.faults.invariants import EVERY_ONE_ENDS
from tests.faults.part import Part
from tests.faults.servers import Servers
from tests.faults.trickle import Trickle
from tests.faults.vendor.desk import Desk

Check = Callable[[], Awaitable[Sequence[Any]]]
Cleanup = Callable[[], Awaitable[None]]

OPEN = f"SELECT count(*) FROM ({EVERY_ONE_ENDS}) still_open"
# Locked in the order in which the workers lock them.
ALL_WELL = """
WITH known AS (SELECT provider FROM provider_health ORDER BY provider FOR UPDATE)
DELETE FROM provider_health h USING known WHERE h.provider = known.provider
"""
REACHED = """
SELECT count(*) FROM attempt WHERE notification_id::text = ANY($1) AND state = ANY($2)
"""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Seconds and numbers. `outage` is how long something is away, `moment` how long it only stumbles; `flood` is how
    many come at once, `items` how many are collected; `deadline` is when all must have ended that was accepted."""

    outage: float = 20.0
    moment: float = 4.0
    burst: int = 12
    flood: int = 1_000
    trickle: int = 60
    items: int = 10_000
    deadline: float = 120.0


@dataclass(kw_only=True)
class Scene:
    """`notes` are figures to print. `checks` run when everything has ended, `cleanups` after them."""

    servers: Servers
    books: Books
    crowd: Crowd
    trickle: Trickle
    dice: Random
    scale: Scale
    notes: list[str] = field(default_factory=list)
    checks: dict[str, Check] = field(default_factory=dict)
    cleanups: list[Cleanup] = field(default_factory=list)

    @property
    def desk(self) -> Desk:
        return self.servers.desk

    def part(self, name: str) -> Part:
        return self.servers.parts[name]

    async def reach(self, sent: Sequence[Sent], count: int, *states: str, within: float = 20) -> None:
        """Until so many attempts of these notifications, or more, are in one of the states."""
        ids = [each.id for each in sent]

        async def seen() -> bool:
            return int(await self.books.one(REACHED, ids, list(states))) >= count

        await self.books.until_true(seen, within)

    async def close_circuits(self) -> None:
        await self.books.rows(ALL_WELL)

    async def quiet(self) -> None:
        """Until everything that has come in so far is over."""
        await self.books.until(OPEN, is_=0, within=self.scale.deadline)

    async def count(self, sent: Sequence[Sent], *states: str) -> int:
        return int(await self.books.one(REACHED, [each.id for each in sent], list(states)))
