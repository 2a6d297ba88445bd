"""Who holds a lease, by the clock of the database. Called by `dispatch/leases.py`."""

from uuid import UUID

from sqlalchemy import text

from storage.statements import Executor

# The row is locked before its end is compared: of two that find it expired, the second one sees the first one's term.
ACQUIRE = text("""
INSERT INTO lease AS l (name, holder, expires_at, acquired_at)
VALUES (:name, :holder, clock_timestamp() + make_interval(secs => :seconds), clock_timestamp())
ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder,
       expires_at = clock_timestamp() + make_interval(secs => :seconds),
       acquired_at = CASE WHEN l.holder = EXCLUDED.holder THEN l.acquired_at ELSE clock_timestamp() END
 WHERE l.holder = EXCLUDED.holder OR l.expires_at < clock_timestamp()
RETURNING l.holder
""")
RELEASE = text("DELETE FROM lease WHERE name = :name AND holder = :holder")


async def acquire(session: Executor, name: str, holder: UUID, seconds: float) -> bool:
    """Take or renew it for so many seconds from now; False while another one holds it."""
    values = {"name": name, "holder": holder, "seconds": seconds}
    return (await session.execute(ACQUIRE, values)).one_or_none() is not None


async def release(session: Executor, name: str, holder: UUID) -> None:
    """Only if it is `holder` who holds it."""
    await session.execute(RELEASE, {"name": name, "holder": holder})
