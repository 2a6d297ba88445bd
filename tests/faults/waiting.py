"""What a thousand notifications cost that wait for their time: the CPU of every server, beside none that wait."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.faults.kinds import BULK
from tests.faults.pace import lasting
from tests.faults.play import Stage
from tests.faults.residue import cpu_seconds, family

COUNT = 1_000
MEASURED = 10.0  # seconds
AT_MOST = 0.05  # of one core, more than when nothing waits
STARTED = "SELECT count(*) FROM notification WHERE id::text = ANY($1) AND dispatched_at IS NOT NULL"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Shares of one core, by server."""

    idle: dict[str, float]
    waiting: dict[str, float]

    @property
    def more(self) -> float:
        return sum(self.waiting.values()) - sum(self.idle.values())

    def __str__(self) -> str:
        each = ", ".join(f"{name} {share:.1%} ({self.idle[name]:.1%})" for name, share in self.waiting.items())
        return f"{self.more:+.1%} of one core with {COUNT:,} waiting; by server, and in brackets idle: {each}"


async def cost(stage: Stage) -> Cost:
    """They still wait when this returns."""
    idle = await _shares(stage)
    later = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    sent = await stage.crowd.batch(COUNT, BULK, priority=1, send_at=later)
    ids = [each.id for each in sent]
    await stage.books.until(STARTED, ids, is_=COUNT, within=120)
    await lasting(MEASURED / 2)
    return Cost(idle=idle, waiting=await _shares(stage))


async def _shares(stage: Stage) -> dict[str, float]:
    parts = [part for part in stage.servers.parts.values() if part.name != "vendor"]
    before = {part.name: cpu_seconds(family(part)) for part in parts}
    await lasting(MEASURED)
    return {part.name: (cpu_seconds(family(part)) - before[part.name]) / MEASURED for part in parts}
