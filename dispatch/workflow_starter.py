"""Start and signal workflows. The only caller of the Temporal client on the path of a notification."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from config import BUILD_ID
from dispatch.temporal.connection import convert_connection_errors
from dispatch.temporal.search_attributes import ensure_search_attributes
from domain import names
from domain.digest_and_tick_messages import DigestStart
from domain.messages import NotificationStart
from domain.names import NOTIFICATIONS_QUEUE, digest_workflow_id, run_summary, workflow_id
from storage.claims import ClaimedNotification, StartedClaim
from storage.digests import PendingWindow
from workflows import options
from workflows.digest import DigestWorkflow
from workflows.notification import NotificationWorkflow

RPC_TIMEOUT = timedelta(seconds=5)
# A workflow of a restored notification is replaced, whether it runs or has ended: its state was lost.
REJECT_DUPLICATE, ALLOW_DUPLICATE = WorkflowIDReusePolicy.REJECT_DUPLICATE, WorkflowIDReusePolicy.ALLOW_DUPLICATE
TERMINATE_EXISTING = WorkflowIDConflictPolicy.TERMINATE_EXISTING
# Temporal gives the first task to another worker after this time, if the process that started it died.
TASK_TIMEOUT = timedelta(seconds=4)
# The value that the server would write with the first task, in one more write for searches (decision 0020).
BUILD_ATTRIBUTE = SearchAttributePair(options.BUILDS, ["unversioned", f"unversioned:{BUILD_ID}"])


class WorkflowStarter:
    """Start workflows. `adopted_store_id` is the store that has our workflows, as `StoreMonitor` has read it; None
    until then."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.adopted_store_id: str | None = None
        self._accepts_builds = True

    async def start_or_resume(self, claimed: ClaimedNotification) -> StartedClaim:
        """Start the workflow, or resume the one that waits. An existing workflow counts as started. Raise RPCError."""
        if claimed.has_workflow:
            await self._signal(claimed.id, claimed.generation, NotificationWorkflow.resume)
            return StartedClaim(id=claimed.id, generation=claimed.generation, is_resume=True)
        try:
            await self._start_with_build(claimed)
        except WorkflowAlreadyStartedError:
            if claimed.send_at is not None and not claimed.waits_for_send_at:
                # An earlier start before `send_at` was not marked, and its workflow may wait for `send_at`.
                await self._signal(claimed.id, claimed.generation, NotificationWorkflow.resume)
        return StartedClaim(
            id=claimed.id,
            generation=claimed.generation,
            waits_until=claimed.send_at if claimed.waits_for_send_at else None,
        )

    async def _start_with_build(self, claimed: ClaimedNotification) -> None:
        """Start the workflow with the build of our workers. A server that rejects it as an attribute of a start gets
        no more of them."""
        try:
            await self._start(claimed)
        except RPCError as error:
            if not (self._accepts_builds and is_rejected_attribute(error, names.BUILDS_ATTRIBUTE)):
                raise
            self._accepts_builds = False
            await self._start(claimed)

    async def _start(self, claimed: ClaimedNotification) -> None:
        """Start the workflow. A worker of this process with a free slot gets the first task with the response."""
        with convert_connection_errors():
            await self._client.start_workflow(
                NotificationWorkflow.run,
                start_message_of(claimed),
                id=workflow_id(claimed.id, claimed.generation),
                task_queue=NOTIFICATIONS_QUEUE,
                task_timeout=TASK_TIMEOUT,
                id_reuse_policy=ALLOW_DUPLICATE if claimed.predates_restore else REJECT_DUPLICATE,
                id_conflict_policy=TERMINATE_EXISTING
                if claimed.predates_restore
                else WorkflowIDConflictPolicy.UNSPECIFIED,
                priority=Priority(priority_key=claimed.priority, fairness_key=str(claimed.tenant)),
                search_attributes=search_attributes_of(claimed, with_build=self._accepts_builds),
                static_summary=run_summary(claimed.notification_type, claimed.priority, claimed.route),
                rpc_timeout=RPC_TIMEOUT,
                request_eager_start=not claimed.predates_restore,
            )

    async def start_or_signal_digest(self, window: PendingWindow) -> None:
        """Start the workflow of the window's digest key, or signal the running one. Raise RPCError NOT_FOUND if it has
        just ended."""
        try:
            await self._start_digest(window)
        except WorkflowAlreadyStartedError:
            handle = self._client.get_workflow_handle(digest_workflow_id(window.digest_key))
            with convert_connection_errors():
                await handle.signal(DigestWorkflow.window_opened, rpc_timeout=RPC_TIMEOUT)

    async def _start_digest(self, window: PendingWindow) -> None:
        with convert_connection_errors():
            await self._client.start_workflow(
                DigestWorkflow.run,
                DigestStart(
                    tenant=window.tenant,
                    notification_type=window.notification_type,
                    digest_key=window.digest_key,
                    closes_at=window.closes_at,
                ),
                id=digest_workflow_id(window.digest_key),
                task_queue=NOTIFICATIONS_QUEUE,
                priority=Priority(fairness_key=str(window.tenant)),
                search_attributes=TypedSearchAttributes(
                    [
                        SearchAttributePair(options.TENANT, window.tenant_key),
                        SearchAttributePair(options.TYPE, window.notification_type),
                    ]
                ),
                static_summary=f"digest of {window.notification_type}",
                rpc_timeout=RPC_TIMEOUT,
            )

    async def signal_cancel(self, notification_id: UUID, generation: int) -> None:
        await self._signal(notification_id, generation, NotificationWorkflow.cancel)

    async def signal_evidence(self, notification_id: UUID, generation: int) -> None:
        await self._signal(notification_id, generation, NotificationWorkflow.evidence_arrived)

    async def _signal(
        self, notification_id: UUID, generation: int, signal: Callable[[NotificationWorkflow], None]
    ) -> None:
        """Signal a workflow; one that has ended needs no signal. A server at a wrong address knows no workflow: then
        the signal stays due."""
        handle = self._client.get_workflow_handle(workflow_id(notification_id, generation))
        try:
            with convert_connection_errors():
                await handle.signal(signal, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND or await self.store_id() != self.adopted_store_id:
                raise

    async def status(self, notification_id: UUID, generation: int) -> WorkflowExecutionStatus | None:
        """Return the status; None: Temporal has no such workflow."""
        handle = self._client.get_workflow_handle(workflow_id(notification_id, generation))
        try:
            with convert_connection_errors():
                return (await handle.describe(rpc_timeout=RPC_TIMEOUT)).status
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    async def prepare(self) -> None:
        """Prepare a store for our workflows."""
        await ensure_search_attributes(self._client)

    async def store_id(self) -> str:
        """Return the id of our namespace: a store that was deleted and created again has another one."""
        request = DescribeNamespaceRequest(namespace=self._client.namespace)
        with convert_connection_errors():
            response = await self._client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT)
        return response.namespace_info.id


def start_message_of(claimed: ClaimedNotification) -> NotificationStart:
    return NotificationStart(
        notification_id=claimed.id,
        tenant=claimed.tenant,
        generation=claimed.generation,
        notification_type=claimed.notification_type,
        priority=claimed.priority,
        send_at=claimed.send_at,
        expires_at=claimed.expires_at,
        waits_for_send_at=claimed.waits_for_send_at,
    )


def is_rejected_attribute(error: RPCError, name: str) -> bool:
    return error.status is RPCStatusCode.INVALID_ARGUMENT and name in error.message


def search_attributes_of(claimed: ClaimedNotification, *, with_build: bool) -> TypedSearchAttributes:
    build = [BUILD_ATTRIBUTE] if with_build else []
    schedule = [SearchAttributePair(options.SCHEDULE, [claimed.schedule_key])] if claimed.schedule_key else []
    return TypedSearchAttributes(
        [
            SearchAttributePair(options.TENANT, claimed.tenant_key),
            SearchAttributePair(options.TYPE, claimed.notification_type),
            SearchAttributePair(options.PRIORITY, claimed.priority),
            *build,
            *schedule,
        ]
    )
