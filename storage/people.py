"""Where people are: in their own zone, else in the tenant's. Called by whatever may change either."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage import digests, gates, schedule_turns, zone_changes

# In the order in which whoever writes several profiles locks them.
HELD = text("""
SELECT r.recipient_id, COALESCE(r.timezone, n.timezone) FROM recipient r JOIN tenant n ON n.id = r.tenant
 WHERE r.tenant = :tenant AND r.recipient_id = ANY(:people) ORDER BY r.recipient_id FOR NO KEY UPDATE OF r
""")


async def movers(session: AsyncSession, tenant: UUID, given: Mapping[str, str | None]) -> list[str]:
    """Before their profiles are written: who of those with a `given` zone is in another one until now. Whoever is new
    has nothing that waits for an hour. Nobody else moves them until the transaction is over."""
    if not any(given.values()):
        return []
    rows = await session.execute(HELD, {"tenant": tenant, "people": list(given)})
    return [person for person, zone in rows if given[person] not in (None, zone)]


async def moved(session: AsyncSession, tenant: UUID, people: Sequence[str] | None) -> None:
    """They may be in another zone now: what is due by the clock there is due at another time. None: all of the
    tenant's, since its own zone is another: in batches after the transaction. Windows before notifications, as whoever
    closes a digest locks them."""
    if people is None:
        await zone_changes.note(session, tenant)
        await gates.reconsider(session, tenant, None)
        return
    await schedule_turns.moved(session, tenant, people)
    for recipient_id in people:
        await digests.moved(session, tenant, recipient_id)
    for recipient_id in people:
        await gates.reconsider(session, tenant, recipient_id)
