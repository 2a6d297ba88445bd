"""Build the dispatcher, and the gauges of its process. Called by bootstrap."""

import socket
from collections.abc import Callable, Iterable
from datetime import timedelta
from uuid import UUID

from temporalio.client import Client

from config import Settings
from dispatch.dispatcher import Dispatcher
from dispatch.leader_tasks import LeaderDependencies, build_leader_tasks
from dispatch.workflow_starter import WorkflowStarter
from metrics.registry import ProcessGauges
from metrics.samples import SampledGauges
from rendering.pool import ProcessPool
from services.recurring_sends import RecurringSends
from storage.catalog import Catalog
from storage.claims import resolve_slots
from storage.database import Database


def build_leader_dependencies(
    settings: Settings, database: Database, catalog: Catalog, client: Client, providers: Iterable[str]
) -> LeaderDependencies:
    return LeaderDependencies(
        database=database,
        client=client,
        starter=WorkflowStarter(client),
        catalog=catalog,
        recurring=RecurringSends(database, settings.secret),
        rates={name: settings.rate(name) for name in providers},
        resume_rate=settings.resume_rate,
        sampled_gauges=SampledGauges(),
        min_retention=timedelta(seconds=settings.idempotency_window),
        attachment_retention=timedelta(days=settings.attachment_days),
    )


def build_dispatcher(settings: Settings, dependencies: LeaderDependencies, process: UUID) -> Dispatcher:
    return Dispatcher(
        dependencies.database,
        dependencies.starter,
        build_leader_tasks(dependencies),
        process=process,
        host=socket.gethostname(),
        slots=resolve_slots(settings.slots),
        start_rate=settings.start_rate,
        urgent_burst=settings.urgent_burst,
        on_flush=dependencies.catalog.flush,
    )


def build_process_gauges(database: Database, renders: ProcessPool, dispatcher: Dispatcher | None) -> ProcessGauges:
    """Build the gauges. `dispatcher` is that of a worker; an API process runs none."""
    readers: dict[str, Callable[[], float]] = {
        "tocsin_database_connections_in_use": lambda: database.connections_in_use,
        "tocsin_database_connections_max": lambda: database.connections_max,
        "tocsin_database_connections_waiting": lambda: database.connections_waiting,
        "tocsin_render_processes_in_use": lambda: renders.in_use,
        "tocsin_render_processes_max": lambda: renders.children,
        "tocsin_render_calls_waiting": lambda: renders.waiting,
    }
    if dispatcher is not None:
        readers["tocsin_slots_max"] = lambda: dispatcher.slots
        readers["tocsin_slots_reserved"] = lambda: dispatcher.reserved_slots
        readers["tocsin_leader"] = lambda: dispatcher.is_leader
    return ProcessGauges(readers)
