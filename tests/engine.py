"""Run the whole product in the test's process: API over HTTP, dispatcher, receipts, sandbox, workers; real servers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from bootstrap import Container
from config import Settings
from dispatch.temporal.connection import connect
from dispatch.temporal.preparation import prepare_temporal
from domain.names import workflow_id
from embedded.ports import free_port
from embedded.temporary_servers import temporary_temporal
from testing.installation import engine
from tests.polling import eventually
from tests.storage.databases import create_database

Handle = WorkflowHandle[Any, Any]


def later(seconds: float) -> str:
    """Return a time for `send_at`. Negative seconds give a time in the past."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@dataclass(frozen=True, kw_only=True)
class Engine:
    container: Container
    temporal_address: str

    @property
    def api_url(self) -> str:
        return self.container.settings.base_url

    @property
    def temporal(self) -> Client:
        return self.container.temporal

    def workflow(self, id: str, generation: int = 1) -> Handle:
        return self.temporal.get_workflow_handle(workflow_id(UUID(id), generation))

    async def wait_for_start(self, id: str) -> Handle:
        """Wait until a notification has a workflow, and return its handle."""
        return await self.wait_for_workflow(self.workflow(id).id)

    async def wait_for_workflow(self, workflow_id: str) -> Handle:
        """Wait until Temporal knows the workflow, and return its handle."""
        handle: Handle = self.temporal.get_workflow_handle(workflow_id)
        await eventually(lambda: exists_in_temporal(handle.describe), bool)
        return handle

    async def history(self, id: str) -> WorkflowHistory:
        """Wait until a notification's workflow has ended, with any result, and return its history."""
        return await self.workflow_history(self.workflow(id).id)

    async def workflow_history(self, workflow_id: str) -> WorkflowHistory:
        """Wait until a workflow has ended, with any result, and return its history."""
        handle = await self.wait_for_workflow(workflow_id)
        await eventually(handle.describe, lambda description: description.close_time is not None)
        return await handle.fetch_history()

    async def sql(self, statement: str, **values: Any) -> int:
        """Run a statement that writes, and return the number of written rows."""
        async with self.container.database.transaction() as session:
            result = await session.execute(text(f"WITH written AS ({statement} RETURNING 1) TABLE written"), values)
            return len(result.all())


async def exists_in_temporal(describe: Callable[[], Awaitable[object]]) -> bool:
    """Return whether `describe` finds its object in Temporal."""
    try:
        await describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


@asynccontextmanager
async def running_engine(database_url: str, home: Path, **options: Any) -> AsyncIterator[Engine]:
    """Run servers and an engine. `options` are settings, or the `dynamic_config` of Temporal."""
    async with (
        engine_servers(database_url, home, **options) as (settings, client),
        engine(settings, client) as container,
    ):
        yield Engine(container=container, temporal_address=settings.temporal_address)


@asynccontextmanager
async def engine_servers(
    database_url: str, home: Path, *, dynamic_config: Mapping[str, str] | None = None, **overrides: Any
) -> AsyncIterator[tuple[Settings, Client]]:
    """Start Postgres and Temporal for an engine, without a process that uses them."""
    async with temporary_temporal(home, dynamic_config=dynamic_config) as temporal:
        await prepare_temporal(temporal.address, "default")
        settings = Settings(
            env="dev",
            # A database of its own: tests write to the shared one directly. Their notifications must stay PENDING
            # there and must not start hundreds of workflows here.
            database_url=await create_database(database_url, f"engine_{uuid4().hex}"),
            temporal_address=temporal.address,
            api_port=free_port(),
            drain_timeout=1,
            **overrides,
            _env_file=None,
        )
        yield settings, await connect(temporal.address, "default", lazy=False)
