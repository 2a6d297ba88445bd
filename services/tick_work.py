"""List what is due by the calendar for a notification type. The activity `run_tick` runs it."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from services.recurring_sends import RecurringSends
from storage import digest_closing
from storage.database import Database

# Runs one batch in its own transaction. Returns how much was due, 0 at the end.
TickWork = Callable[[UUID, str], Awaitable[int]]


def build_tick_work(database: Database, recurring: RecurringSends) -> dict[str, TickWork]:
    """Return the work of a tick by name, in order."""

    async def close_due_digest(tenant: UUID, notification_type: str) -> int:
        """Close one window that closes by a schedule."""
        async with database.transaction() as session:
            return await digest_closing.close_due(session, tenant, notification_type)

    return {
        "shared_occurrences": recurring.run_shared_occurrences,
        "recipient_occurrences": recurring.run_recipient_occurrences,
        "runs": recurring.continue_run_of_type,
        "digests": close_due_digest,
    }
