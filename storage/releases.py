"""Release of held deliveries that nothing holds any more. Called by `dispatch/signals.py`.

Deliveries with the same `hold_key` (channel, notification type, providers) are held by the same pauses and circuits. So
a batch looks at each cause once, however many deliveries wait for it.
"""

from domain.names import DISPATCH_CHANNEL, QUEUE_DUE
from storage.statements import Executor, statement

# How many deliveries a batch looks at per priority, at least one of each cause and tenant.
MAX_EXAMINED = 1_000

# Deliveries that were released and whose next attempt has not begun in time.
RESET_RELEASED = statement("releases/reset_released")

# By priority and round-robin among tenants. One available provider is enough, whatever holds the delivery; the guard
# limits the probes of a half-open circuit. The entries become due, and a worker process claims them. The next attempt
# clears `held_at`. Without an attempt they wait again after `release_expires_at`.
RELEASE_HELD = statement("releases/release_held")


async def release_held(session: Executor, limit: int) -> int:
    """Make due what nothing holds any more, at most `limit` deliveries. Return how many."""
    await session.execute(RESET_RELEASED, {"limit": max(limit, MAX_EXAMINED)})
    values = {"limit": limit, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE, "max_examined": MAX_EXAMINED}
    return int((await session.execute(RELEASE_HELD, values)).one()[0])
