"""The NOTIFY that wakes dispatchers."""

from collections.abc import Sequence

from sqlalchemy import text

from domain.names import DISPATCH_CHANNEL
from storage.statements import Executor

NOTIFY_DISPATCHERS = text("SELECT pg_notify(:channel, due) FROM unnest(CAST(:due AS text[])) AS due")


async def notify_dispatchers(session: Executor, due: Sequence[str]) -> None:
    """`due` are payloads of DISPATCH_CHANNEL."""
    await session.execute(NOTIFY_DISPATCHERS, {"channel": DISPATCH_CHANNEL, "due": list(due)})
