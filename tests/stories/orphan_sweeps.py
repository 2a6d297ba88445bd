"""Run the sweep of orphans for a notification that it would check only later."""

from dispatch.orphan_sweep import OrphanSweep
from dispatch.workflow_starter import WorkflowStarter
from tests.engine import Engine
from tests.polling import eventually


async def run_sweep(engine: Engine, id: str) -> None:
    """Run the sweep as if the notification had stopped waiting and its last check were a minute ago.

    The check becomes possible when its start is marked.
    """
    make_due = (
        "UPDATE queue_entry SET state = 'started', waits_until = NULL, next_at = now() - interval '1 minute'"
        " WHERE notification_id = :id AND started_at IS NOT NULL"
    )
    await eventually(lambda: engine.sql(make_due, id=id), bool)
    await OrphanSweep(engine.container.database, WorkflowStarter(engine.temporal)).run()
