"""Record which processes are alive and which of them holds a lease, by the clock of the database. Called by
`dispatch/process_registration.py` and `dispatch/leases.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from storage.statements import Executor, statement

# Seconds. A row that was not renewed for this long belongs to a process that is dead or cut off.
LIVENESS_TIMEOUT = 60
# For this long operators can still read the row of a dead process.
DELETE_DEAD_AFTER = 3600

RENEW = statement("processes/renew")
REMOVE = text("DELETE FROM process WHERE id = :id")
# Right after an outage of Postgres, or a start of all workers, rows of processes that do live may be missing.
IS_PROVIDER_ABSENT = statement("processes/is_provider_absent")
# The row is locked before its end is compared: of two that find it expired, the second one sees the first one's term.
ACQUIRE = statement("processes/acquire_lease")
RELEASE = text("DELETE FROM lease WHERE name = :name AND holder = :holder")


@dataclass(frozen=True, kw_only=True)
class ProcessInfo:
    """Describe a process as it reports itself. `role` is `worker` or `api` (column `kind`); `isolation` names the
    layers in force in its rendering processes, None before one has started."""

    id: UUID
    role: str
    host: str
    pid: int
    providers: Sequence[str]
    isolation: Sequence[str] | None = None


async def renew(session: Executor, process: ProcessInfo) -> None:
    """Insert the row, or record that the process still lives. Delete rows of processes that died long ago."""
    values = {"id": process.id, "kind": process.role, "host": process.host, "pid": process.pid}
    isolation = None if process.isolation is None else list(process.isolation)
    limits = {"live_within": LIVENESS_TIMEOUT, "pruned_after": DELETE_DEAD_AFTER}
    await session.execute(RENEW, {**values, **limits, "providers": list(process.providers), "isolation": isolation})


async def remove(session: Executor, id: UUID) -> None:
    await session.execute(REMOVE, {"id": id})


async def is_provider_absent(session: Executor, provider: str) -> bool:
    """Return whether workers have been reporting for a while and none that lives has this provider."""
    values = {"provider": provider, "live_within": LIVENESS_TIMEOUT}
    return bool((await session.execute(IS_PROVIDER_ABSENT, values)).scalar_one())


async def acquire_lease(session: Executor, name: str, holder: UUID, seconds: float) -> bool:
    """Take or renew it for so many seconds from now; False while another one holds it."""
    values = {"name": name, "holder": holder, "seconds": seconds}
    return (await session.execute(ACQUIRE, values)).one_or_none() is not None


async def release_lease(session: Executor, name: str, holder: UUID) -> None:
    """Release the lease if `holder` holds it."""
    await session.execute(RELEASE, {"name": name, "holder": holder})
