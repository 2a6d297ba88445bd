"""Prepare a Temporal server for use. Called after each of its starts by the command line, tests and benchmarks."""

from config import Settings
from dispatch.temporal.connection import connect, connect_with_settings
from dispatch.temporal.search_attributes import ensure_search_attributes
from dispatch.temporal.store_monitor import confirm_store
from dispatch.workflow_starter import WorkflowStarter


async def prepare_temporal(
    address: str, namespace: str, database_url: str | None = None, settings: Settings | None = None
) -> None:
    """Prepare a server after each start: search attributes, and the workflow store of `database_url` if given.

    Confirm a new store at once: the database has no other server. `settings` hold TLS and API key of an external one.
    """
    client = await (
        connect_with_settings(settings, lazy=False) if settings else connect(address, namespace, lazy=False)
    )
    await ensure_search_attributes(client)
    if database_url is not None:
        await confirm_store(database_url, WorkflowStarter(client))
