"""Monitor which store Temporal has. Run by every process: one that sees the adopted store keeps it adopted."""

import structlog

from dispatch.workflow_starter import WorkflowStarter
from domain.temporal_stores import RESET_AFTER
from storage import engine_state
from storage.database import Database
from storage.engine_state import StoreReport

log = structlog.get_logger(__name__)

POLL_INTERVAL = 5.0


class StoreMonitor:
    def __init__(self, database: Database, starter: WorkflowStarter) -> None:
        self._database = database
        self._starter = starter
        self._seen_id: str | None = None

    async def detect_namespace_reset(self) -> float:
        """Report the store that this process sees. A store that is new to it may lack our search attributes."""
        seen_id = await self._starter.store_id()
        is_new = seen_id != self._seen_id
        if is_new:
            await self._starter.prepare()
        async with self._database.quick_transaction() as session:
            seen = await engine_state.record_observation(session, seen_id)
        self._seen_id = seen_id
        self._starter.adopted_store_id = seen.known.namespace_id
        if is_new or seen.lost is not None:
            _log_report(seen, seen_id)
        return POLL_INTERVAL


async def confirm_store(url: str, starter: WorkflowStarter) -> None:
    """Confirm the store of a server that is known to be the only one for this database."""
    database = Database(url, pool_size=1)
    try:
        async with database.transaction() as session:
            await engine_state.confirm_replacement(session, await starter.store_id())
    finally:
        await database.close()


def _log_report(seen: StoreReport, seen_id: str) -> None:
    if seen.lost is not None:
        log.warning(
            "Temporal's store was replaced; open notifications are started again", namespace_id=seen_id, open=seen.lost
        )
    elif seen.known.namespace_id != seen_id:
        log.error(
            "Temporal has another store than before: either its store was lost or its address is wrong. Nothing is"
            " started again until the store is adopted; 'tocsin temporal adopt' adopts it now",
            namespace_id=seen_id,
            adopted=seen.known.namespace_id,
            adopted_after_seconds=RESET_AFTER.total_seconds(),
        )
