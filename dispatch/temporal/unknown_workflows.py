"""Terminate the workflows of notifications that a restored database does not contain. Run by the leader.

Such a workflow may wait for a signal that no row will cause. It cannot have sent anything since the restore.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog
from temporalio.client import Client, WorkflowExecution
from temporalio.service import RPCError, RPCStatusCode

from dispatch.temporal.connection import convert_connection_errors
from storage.database import Database
from storage.engine_state import (
    NotificationGeneration,
    find_pending_workflow_cleanup,
    find_unknown,
    record_workflows_ended,
)

log = structlog.get_logger(__name__)

POLL_INTERVAL = 10.0
BATCH_SIZE = 200
RUNNING_QUERY = "WorkflowType = 'NotificationWorkflow' AND ExecutionStatus = 'Running' AND StartTime < '{before}'"
WORKFLOW_ID = re.compile(r"notification-([0-9a-f-]{36})-(\d+)")
TERMINATION_REASON = "the database was restored to a state that does not know this notification"


class UnknownWorkflowTask:
    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    async def terminate_unknown_workflows(self) -> float:
        """Terminate the workflows without a row, once for each restore, after all notifications have been started
        again."""
        async with self._database.transaction() as session:
            before = await find_pending_workflow_cleanup(session)
        if before is not None:
            await self._terminate_all_unknown(before)
            async with self._database.transaction() as session:
                await record_workflows_ended(session, before)
        return POLL_INTERVAL

    async def _terminate_all_unknown(self, before: datetime) -> None:
        found: list[WorkflowExecution] = []
        with convert_connection_errors():
            listed = self._client.list_workflows(RUNNING_QUERY.format(before=before.isoformat()), page_size=BATCH_SIZE)
            async for execution in listed:
                found.append(execution)
                if len(found) == BATCH_SIZE:
                    await self._terminate_unknown(found)
                    found = []
        await self._terminate_unknown(found)

    async def _terminate_unknown(self, found: Sequence[WorkflowExecution]) -> None:
        by_key = {key: execution for execution in found if (key := _key_of(execution)) is not None}
        async with self._database.transaction() as session:
            unknown = await find_unknown(session, list(by_key))
        for key in unknown:
            await self._terminate(by_key[key])
            log.warning("a notification is unknown to the restored database", notification_id=str(key[0]))

    async def _terminate(self, execution: WorkflowExecution) -> None:
        """Terminate the run that was found, and no later one."""
        handle = self._client.get_workflow_handle(execution.id, run_id=execution.run_id)
        try:
            with convert_connection_errors():
                await handle.terminate(reason=TERMINATION_REASON)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # it has ended since
                raise


def _key_of(execution: WorkflowExecution) -> NotificationGeneration | None:
    found = WORKFLOW_ID.fullmatch(execution.id)
    return None if found is None else (UUID(found[1]), int(found[2]))
