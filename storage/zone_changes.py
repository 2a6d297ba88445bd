"""A tenant has another zone, and so have its recipients without one of their own: what is due by the clock is due at
another time. Noted by `storage/people.py`, done in batches by `dispatch/reconsiderations.py`."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage import digests, recipients, reconsiderations, schedule_turns
from storage.reconsiderations import Place
from storage.statements import Executor

TURNS, DIGESTS = "zone_of_turns", "zone_of_digests"
RECIPIENTS = text("""
SELECT DISTINCT recipient_id FROM schedule_turn WHERE tenant = :tenant AND recipient_id > :after
 ORDER BY recipient_id LIMIT :limit
""")


async def note(session: Executor, tenant: UUID) -> None:
    """In the transaction of the change."""
    await reconsiderations.note(session, tenant, (TURNS, DIGESTS))


async def move_turns(session: AsyncSession, tenant: UUID, place: Place, limit: int) -> Place | None:
    """Plan the turns of the next `limit` recipients. Return the place behind them, None at the end."""
    found = await session.execute(RECIPIENTS, {"tenant": tenant, "after": place.recipient_id, "limit": limit})
    people = list(found.scalars())
    # They are locked before their turns, as everywhere.
    await recipients.known(session, tenant, people)
    await schedule_turns.moved(session, tenant, people)
    return Place(recipient_id=people[-1]) if len(people) == limit else None


async def move_digests(session: AsyncSession, tenant: UUID, place: Place, limit: int) -> Place | None:
    """The same for the next `limit` windows that close by the calendar."""
    last = await digests.moved_with_tenant(session, tenant, place.after, limit)
    return None if last is None else Place(after=last)


WORKS = {TURNS: move_turns, DIGESTS: move_digests}
