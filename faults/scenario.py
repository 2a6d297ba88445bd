"""Hold what a fault works with: the servers, the senders, the vendor log, and the checks to run afterwards."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from faults.background_load import BackgroundLoad
from faults.invariants import EVERY_NOTIFICATION_ENDS
from faults.load_generator import GeneratedSend, LoadGenerator
from faults.servers import Servers
from faults.stack_database import StackDatabase
from faults.stack_process import StackProcess
from faults.vendor.control import VendorControl

Check = Callable[[], Awaitable[Sequence[Any]]]
Cleanup = Callable[[], Awaitable[None]]

OPEN = f"SELECT count(*) FROM ({EVERY_NOTIFICATION_ENDS}) still_open"
# Locked in the same order as the workers lock them.
CLOSE_CIRCUITS = """
WITH known AS (SELECT provider FROM provider_health ORDER BY provider FOR UPDATE)
DELETE FROM provider_health h USING known WHERE h.provider = known.provider
"""
COUNT_ATTEMPTS = """
SELECT count(*) FROM attempt WHERE notification_id::text = ANY($1) AND state = ANY($2)
"""


@dataclass(frozen=True, kw_only=True)
class FaultScale:
    """Define durations and sizes. `outage` is the length of an outage, `moment` that of a short fault, in seconds.
    `flood` is the number of concurrent sends, `items` the number of digest items. `deadline` is when all accepted sends
    must have ended.
    """

    outage: float = 20.0
    moment: float = 4.0
    burst: int = 12
    flood: int = 1_000
    background_load: int = 60
    items: int = 10_000
    deadline: float = 120.0


@dataclass(kw_only=True)
class Scenario:
    """Run one fault. `notes` are printed. `checks` run when everything has ended, `cleanups` after them."""

    servers: Servers
    stack_database: StackDatabase
    load_generator: LoadGenerator
    background_load: BackgroundLoad
    rand: Random
    scale: FaultScale
    notes: list[str] = field(default_factory=list)
    checks: dict[str, Check] = field(default_factory=dict)
    cleanups: list[Cleanup] = field(default_factory=list)

    @property
    def vendor_control(self) -> VendorControl:
        return self.servers.vendor_control

    def stack_process(self, name: str) -> StackProcess:
        return self.servers.processes[name]

    async def wait_for_attempts(
        self, sent: Sequence[GeneratedSend], count: int, *states: str, within: float = 60
    ) -> None:
        """Wait until at least `count` attempts of these notifications are in one of the states."""
        ids = [each.id for each in sent]

        async def seen() -> bool:
            return int(await self.stack_database.one(COUNT_ATTEMPTS, ids, list(states))) >= count

        await self.stack_database.until_true(seen, within)

    async def close_circuits(self) -> None:
        await self.stack_database.rows(CLOSE_CIRCUITS)

    async def wait_until_all_ended(self) -> None:
        """Wait until everything accepted so far has ended."""
        await self.stack_database.until(OPEN, is_=0, within=self.scale.deadline)

    async def count(self, sent: Sequence[GeneratedSend], *states: str) -> int:
        return int(await self.stack_database.one(COUNT_ATTEMPTS, [each.id for each in sent], list(states)))
