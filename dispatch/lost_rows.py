"""Ends the workflows of notifications that a restored database does not know. Run by the dispatcher that leads.

Such a workflow may wait for a signal that no row will cause. It can have sent nothing since the restore.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog
from temporalio.client import Client, WorkflowExecution
from temporalio.service import RPCError, RPCStatusCode

from dispatch.connection import reaching_temporal
from storage.database import Database
from storage.restores import Key, note_workflows_ended, unknown_to_rows, workflows_to_end

log = structlog.get_logger(__name__)

LOOK_AGAIN = 10.0
AT_ONCE = 200
RUNNING = "WorkflowType = 'NotificationWorkflow' AND ExecutionStatus = 'Running' AND StartTime < '{before}'"
WORKFLOW_ID = re.compile(r"notification-([0-9a-f-]{36})-(\d+)")
REASON = "the database was restored to a state that does not know this notification"


class LostRows:
    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    async def end_workflows(self) -> float:
        """Once for each restore, when everything that the database knows has been started again."""
        async with self._database.transaction() as session:
            before = await workflows_to_end(session)
        if before is not None:
            await self._end_all(before)
            async with self._database.transaction() as session:
                await note_workflows_ended(session, before)
        return LOOK_AGAIN

    async def _end_all(self, before: datetime) -> None:
        found: list[WorkflowExecution] = []
        with reaching_temporal():
            listed = self._client.list_workflows(RUNNING.format(before=before.isoformat()), page_size=AT_ONCE)
            async for execution in listed:
                found.append(execution)
                if len(found) == AT_ONCE:
                    await self._end(found)
                    found = []
        await self._end(found)

    async def _end(self, found: Sequence[WorkflowExecution]) -> None:
        by_key = {key: execution for execution in found if (key := _key(execution)) is not None}
        async with self._database.transaction() as session:
            unknown = await unknown_to_rows(session, list(by_key))
        for key in unknown:
            await self._terminate(by_key[key])
            log.warning("a notification is unknown to the restored database", notification_id=str(key[0]))

    async def _terminate(self, execution: WorkflowExecution) -> None:
        """The run that was found, and no later one."""
        handle = self._client.get_workflow_handle(execution.id, run_id=execution.run_id)
        try:
            with reaching_temporal():
                await handle.terminate(reason=REASON)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # it has ended meanwhile
                raise


def _key(execution: WorkflowExecution) -> Key | None:
    found = WORKFLOW_ID.fullmatch(execution.id)
    return None if found is None else (UUID(found[1]), int(found[2]))
