"""Builds the dispatcher, and the gauges of the process that has it. Called by bootstrap."""

from collections.abc import Callable, Iterable
from uuid import UUID

from temporalio.client import Client

from activities.recurring import Recurring
from config import Settings
from dispatch.dispatcher import Dispatcher
from dispatch.duties import Means, duties_of
from dispatch.starter import Starter
from metrics.process import ProcessGauges
from metrics.samples import SampledGauges
from rendering.pool import Pool
from storage.catalog import Catalog
from storage.claims import slots_of
from storage.database import Database


def means_of(
    settings: Settings, database: Database, catalog: Catalog, client: Client, providers: Iterable[str]
) -> Means:
    return Means(
        database=database,
        client=client,
        starter=Starter(client),
        catalog=catalog,
        recurring=Recurring(database, settings.secret),
        rates={name: settings.rate(name) for name in providers},
        resume_rate=settings.resume_rate,
        sampled=SampledGauges(),
    )


def dispatcher_of(settings: Settings, means: Means, process: UUID) -> Dispatcher:
    return Dispatcher(
        means.database,
        means.starter,
        duties_of(means, settings.idempotency_window),
        process=process,
        slots=slots_of(settings.slots),
        start_rate=settings.start_rate,
        urgent_burst=settings.urgent_burst,
        on_flush=means.catalog.flush,
    )


def process_gauges(database: Database, renders: Pool, dispatcher: Dispatcher | None) -> ProcessGauges:
    """`dispatcher` is that of a worker; an API process has none that runs."""
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
        readers["tocsin_leader"] = lambda: dispatcher.leading
    return ProcessGauges(readers)
