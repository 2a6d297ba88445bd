"""Starts and signals workflows. The only caller of the Temporal client on the way of a notification."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import Priority, SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from dispatch.connection import prepare, reaching_temporal
from domain.clock_messages import DigestStart
from domain.messages import NotificationStart
from domain.names import NOTIFICATIONS_QUEUE, digest_workflow_id, workflow_id
from storage.digests import ToTell
from storage.dispatching import DueNotification
from workflows import options
from workflows.digest import DigestWorkflow
from workflows.notification import NotificationWorkflow

AT_ONCE = 16
RPC_TIMEOUT = timedelta(seconds=5)


@dataclass(kw_only=True)
class Started:
    ids: list[UUID] = field(default_factory=list)
    failed: list[UUID] = field(default_factory=list)
    statuses: set[str] = field(default_factory=set)


class Starter:
    """`adopted_id` is the store that has our workflows, as `StoreWatch` has read it; None until it has."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.adopted_id: str | None = None

    async def start_all(self, due: list[DueNotification]) -> Started:
        """Already started counts as started. What Temporal did not take stays in Postgres for later."""
        outcome = Started()

        async def one(notification: DueNotification) -> None:
            try:
                await self._start(notification)
                outcome.ids.append(notification.id)
            except WorkflowAlreadyStartedError:
                outcome.ids.append(notification.id)
            except RPCError as error:
                outcome.failed.append(notification.id)
                outcome.statuses.add(error.status.name)

        await asyncio.gather(*(one(notification) for notification in due))
        return outcome

    async def _start(self, due: DueNotification) -> None:
        with reaching_temporal():
            await self._client.start_workflow(
                NotificationWorkflow.run,
                message_of(due),
                id=workflow_id(due.id, due.generation),
                task_queue=NOTIFICATIONS_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                priority=Priority(priority_key=due.priority, fairness_key=str(due.tenant)),
                search_attributes=attributes(due),
                static_summary=f"{due.notification_type}, priority {due.priority}",
                rpc_timeout=RPC_TIMEOUT,
            )

    async def open_digest(self, window: ToTell) -> None:
        """Starts the workflow of its group, or tells the one that runs. RPCError NOT_FOUND: that has just ended."""
        try:
            await self._start_digest(window)
        except WorkflowAlreadyStartedError:
            handle = self._client.get_workflow_handle(digest_workflow_id(window.group_key))
            with reaching_temporal():
                await handle.signal(DigestWorkflow.opened, rpc_timeout=RPC_TIMEOUT)

    async def _start_digest(self, window: ToTell) -> None:
        with reaching_temporal():
            await self._client.start_workflow(
                DigestWorkflow.run,
                DigestStart(
                    tenant=window.tenant,
                    notification_type=window.notification_type,
                    group=window.group_key,
                    closes_at=window.closes_at,
                ),
                id=digest_workflow_id(window.group_key),
                task_queue=NOTIFICATIONS_QUEUE,
                priority=Priority(fairness_key=str(window.tenant)),
                search_attributes=TypedSearchAttributes(
                    [
                        SearchAttributePair(options.TENANT, str(window.tenant)),
                        SearchAttributePair(options.TYPE, window.notification_type),
                    ]
                ),
                static_summary=f"digest of {window.notification_type}",
                rpc_timeout=RPC_TIMEOUT,
            )

    async def signal_cancel(self, notification_id: UUID, generation: int) -> None:
        await self._signal(notification_id, generation, NotificationWorkflow.cancel)

    async def signal_evidence(self, notification_id: UUID, generation: int) -> None:
        await self._signal(notification_id, generation, NotificationWorkflow.evidence)

    async def signal_release(self, notification_id: UUID, generation: int) -> None:
        await self._signal(notification_id, generation, NotificationWorkflow.release)

    async def _signal(
        self, notification_id: UUID, generation: int, signal: Callable[[NotificationWorkflow], None]
    ) -> None:
        """A workflow that is over, or not there, needs no signal. A server at a wrong address knows none of them: then
        the signal stays due."""
        handle = self._client.get_workflow_handle(workflow_id(notification_id, generation))
        try:
            with reaching_temporal():
                await handle.signal(signal, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND or await self.store_id() != self.adopted_id:
                raise

    async def status(self, notification_id: UUID, generation: int) -> WorkflowExecutionStatus | None:
        """None: Temporal knows no such workflow."""
        handle = self._client.get_workflow_handle(workflow_id(notification_id, generation))
        try:
            with reaching_temporal():
                return (await handle.describe(rpc_timeout=RPC_TIMEOUT)).status
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    async def prepare(self) -> None:
        """What a store needs before it can take our workflows."""
        await prepare(self._client)

    async def store_id(self) -> str:
        """The id of our namespace: a store that was deleted comes back with another one."""
        request = DescribeNamespaceRequest(namespace=self._client.namespace)
        with reaching_temporal():
            answer = await self._client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT)
        return answer.namespace_info.id


def message_of(due: DueNotification) -> NotificationStart:
    return NotificationStart(
        notification_id=due.id,
        tenant=due.tenant,
        generation=due.generation,
        notification_type=due.notification_type,
        priority=due.priority,
        send_at=due.send_at,
        expires_at=due.expires_at,
    )


def attributes(due: DueNotification) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(options.TENANT, str(due.tenant)),
            SearchAttributePair(options.TYPE, due.notification_type),
            SearchAttributePair(options.PRIORITY, due.priority),
        ]
    )
