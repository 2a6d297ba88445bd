"""Divide the notifications that wait for the rate of a provider between Temporal and Postgres.

Few wait in Temporal: its queue orders by priority only, and a call in it cannot be rerouted.
"""

from collections.abc import Sequence

from domain.names import DISPATCH_CHANNEL, QUEUE_DUE
from storage.statements import Executor, statement

MAX_QUEUED = 60
# Of a provider whose queue has not moved for 30 seconds.
MAX_QUEUED_IF_STALE = 5
QUEUE_LIMITS = {"max_queued": MAX_QUEUED, "max_queued_if_stale": MAX_QUEUED_IF_STALE}

SELECT_FREE_SLOTS = statement("provider_queues/select_free_slots")
ADMIT_WAITING = statement("provider_queues/admit_waiting")

SELECT_AWAITED = statement("provider_queues/select_awaited")


async def has_free_place(session: Executor, provider: str) -> bool:
    """Return whether another call may wait in the provider's own queue."""
    return int((await session.execute(SELECT_FREE_SLOTS, {"provider": provider, **QUEUE_LIMITS})).scalar_one()) > 0


async def find_awaited_providers(session: Executor, providers: Sequence[str]) -> list[str]:
    """Return those of the providers that something waits for."""
    return list((await session.execute(SELECT_AWAITED, {"names": list(providers)})).scalars())


async def admit(session: Executor, provider: str) -> int:
    """Make as many calls due as the queue has slots, by priority and round-robin among tenants. Return their number."""
    values = {"provider": provider, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE, **QUEUE_LIMITS}
    return int((await session.execute(ADMIT_WAITING, values)).one()[0])
