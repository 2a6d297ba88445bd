"""Build and close everything that a process needs: settings → database → providers → activities → Temporal client.

Worker, API, command line and tests all use this module. No other module builds these objects.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import httpx2
from temporalio.client import Client

from activities.delivery import DeliveryActivities
from activities.digests_and_ticks import DigestActivities, TickActivities
from activities.planning import PlanningActivities
from activities.reconciliation import ReconciliationActivities
from activities.settlement import SettlementActivities
from config import Settings
from dispatch.background_loops import Loop
from dispatch.dispatcher import Dispatcher
from dispatch.event_poster import EventPoster
from dispatch.notify_listener import NotifyListener, build_api_listener
from dispatch.process_registration import ProcessRegistration
from dispatch.receipt_applier import ReceiptApplier
from dispatch.sandbox_receipt_poster import SandboxReceiptPoster
from dispatch.sms_answerer import SmsAnswerer
from dispatch.start_holds import run_after_release
from dispatch.temporal.connection import connect_with_settings, is_server_available
from dispatch.wiring import build_dispatcher, build_leader_dependencies, build_process_gauges
from dispatch.work_announcer import WorkAnnouncer
from domain.tracking import TraceSigner
from metrics.page import MetricsPage
from providers.base import Provider
from providers.context import ProviderContext
from providers.http2 import Http2Transport
from providers.http_clients import HttpClients, open_http_clients
from providers.pools import Pools, build_pools, build_providers
from providers.transport import Transport
from rendering.renderer import Renderer
from rendering.tracking import Tracker
from services.circuits import CircuitMonitor
from services.provider_calls import ProviderCaller
from services.recurring_sends import RecurringSends
from services.tick_work import build_tick_work
from services.unsubscribing import UnsubscribeLinks
from services.wiring import SendServices, Services, build_send_services, build_services
from storage.catalog import Catalog
from storage.database import Database
from storage.encryption import Encryption
from storage.inbox import InboxStore
from storage.migrate import migrate
from storage.sandbox import PostgresSandboxStore

prepare_database = migrate
UNUSED_DATABASE_URL = "postgresql+asyncpg://nouser@127.0.0.1:1/none"


@dataclass(frozen=True, kw_only=True)
class Container:
    """The objects of a process. `open_container` closes them."""

    settings: Settings
    database: Database
    catalog: Catalog
    renderer: Renderer
    providers: Mapping[str, Provider]
    pools: Pools
    temporal: Client
    circuits: CircuitMonitor
    dispatcher: Dispatcher
    listener: NotifyListener
    work_announcer: WorkAnnouncer
    recurring: RecurringSends
    receipt_applier: ReceiptApplier
    receipt_poster: SandboxReceiptPoster | None
    event_poster: EventPoster
    sms_answerer: SmsAnswerer
    process_registration: ProcessRegistration
    page: MetricsPage

    @property
    def process_id(self) -> UUID:
        """Return the id of this process, new at each start."""
        return self.process_registration.process_id

    async def is_temporal_available(self) -> bool:
        return await is_server_available(self.temporal)

    def wake_receipt_applier(self) -> None:
        self.receipt_applier.wake()

    def build_activities(self) -> Sequence[Callable[..., Any]]:
        """Build the activities that call no provider, on the notifications queue."""
        database, services = self.database.for_activities, self.build_services()
        planning = PlanningActivities(services.planner, services.delivery_renderer)
        settlement = SettlementActivities(database)
        return (
            *(planning.resolve_preferences, planning.render_messages),
            *(settlement.settle, settlement.check_step),
            ReconciliationActivities(database, self.providers, services.outcome_recorder).record_outcome,
            DigestActivities(database).close_digest,
            TickActivities(database, build_tick_work(database, self.recurring)).run_tick,
        )

    def build_provider_activities(self) -> Sequence[Callable[..., Any]]:
        """Build the activities that call a provider: on its own queue, or on the notifications queue if it has no
        rate limit."""
        database, providers, recorder = (
            self.database.for_activities,
            self.providers,
            self.build_services().outcome_recorder,
        )
        tracker = Tracker(TraceSigner(self.settings.secret), self.settings.base_url)
        rates = {name: self.settings.rate(name) for name in providers}
        links = UnsubscribeLinks(self.settings.secret, self.settings.base_url)
        provider_caller = ProviderCaller(providers, self.circuits, tracker, links, database)
        delivery = DeliveryActivities(
            database, providers, self.circuits, recorder, provider_caller, rates, self.dispatcher.note_free_slot
        )
        return delivery.deliver, ReconciliationActivities(database, providers, recorder).look_up

    def build_services(self) -> Services:
        """Build the use cases that the API and activities share."""
        database, secret = self.database.for_activities, self.settings.secret
        return build_services(database, self.catalog, self.renderer, self.providers, self.pools, self.circuits, secret)

    def build_send_services(self) -> SendServices:
        """Build what accepts the sends of one application."""
        return build_send_services(
            *(self.build_services(), self.database, self.catalog, self.renderer, self.providers, self.circuits),
            *(self.settings, self.work_announcer.announce),
        )

    async def watch_circuits(self) -> None:
        """Keep this worker's view of the circuits up to date. Workers run it together with their queues."""
        await Loop("circuits", self.circuits.sync).run()

    def background_loops(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Return the loops that the API process runs in addition to its requests."""
        loops: list[Callable[[], Coroutine[Any, Any, None]]] = [
            partial(run_after_release, self.database, run) for run in (self.event_poster.run, self.sms_answerer.run)
        ]
        loops += [self.listener.run, self.work_announcer.run, self.receipt_applier.run, self.process_registration.run]
        return [*loops, self.receipt_poster.run] if self.receipt_poster else loops


@asynccontextmanager
async def open_container(
    settings: Settings,
    *,
    client: Client | None = None,
    render_processes: int = 2,
    role: str = "api",
    page: MetricsPage | None = None,
) -> AsyncIterator[Container]:
    """Open the container. `client` is a connected client, which a worker needs. `render_processes` is the number of
    rendering processes, `role` the role of this process, `page` its metrics page if it is already served."""
    async with AsyncExitStack() as stack:
        database = Database(
            settings.database_url, pool_size=settings.database_pool, encryption=Encryption.from_settings(settings)
        )
        stack.push_async_callback(database.close)
        clients = await stack.enter_async_context(open_http_clients(settings.targets))
        renderer = Renderer(render_processes)
        stack.push_async_callback(renderer.close)
        temporal = client or await connect_with_settings(settings, lazy=True)
        providers = build_providers(settings, build_provider_context(settings, database, clients))
        poster = EventPoster(database, Transport(clients.guarded))
        container = _assemble(
            settings, database, renderer, clients.vendors, temporal, providers, poster, role, page or MetricsPage()
        )
        container.page.add(
            build_process_gauges(database, renderer.pool, container.dispatcher if role == "worker" else None)
        )
        yield container


async def check_settings(settings: Settings) -> None:
    """Build the providers of all pools, like each process. Needs no server. Raise InvalidSettings."""
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url or UNUSED_DATABASE_URL)
        stack.push_async_callback(database.close)
        clients = await stack.enter_async_context(open_http_clients(settings.targets))
        build_pools(settings, build_providers(settings, build_provider_context(settings, database, clients)))


def build_provider_context(settings: Settings, database: Database, clients: HttpClients) -> ProviderContext:
    """Return the context of the providers, which only activities call."""
    return ProviderContext(
        transport=Transport(clients.vendors),
        guarded_transport=Transport(clients.guarded),
        http2_transport=Http2Transport(clients.http2),
        secret=settings.secret,
        receipts_url=lambda name: f"{settings.base_url}/api/v1/receipts/{name}",
        inbox=InboxStore(database.for_activities),
        sandbox_store=PostgresSandboxStore(database.for_activities),
    )


def _assemble(
    settings: Settings,
    database: Database,
    renderer: Renderer,
    http: httpx2.AsyncClient,
    temporal: Client,
    providers: Mapping[str, Provider],
    event_poster: EventPoster,
    role: str,
    page: MetricsPage,
) -> Container:
    catalog = Catalog(database)
    receipt_poster = _build_receipt_poster(settings, database, http) if "sandbox" in providers else None
    dependencies = build_leader_dependencies(settings, database, catalog, temporal, providers)
    page.add(dependencies.sampled_gauges)
    process_registration = ProcessRegistration(database, role, providers, lambda: renderer.isolation)
    return Container(
        settings=settings,
        database=database,
        catalog=catalog,
        renderer=renderer,
        providers=providers,
        pools=build_pools(settings, providers),
        temporal=temporal,
        circuits=CircuitMonitor(database),
        dispatcher=build_dispatcher(settings, dependencies, process_registration.process_id),
        listener=build_api_listener(
            database, catalog.flush, receipt_poster.wake if receipt_poster else lambda: None, event_poster.wake
        ),
        work_announcer=WorkAnnouncer(database),
        recurring=dependencies.recurring,
        receipt_applier=ReceiptApplier(database),
        receipt_poster=receipt_poster,
        event_poster=event_poster,
        sms_answerer=SmsAnswerer(database, providers, settings.sms_answers),
        process_registration=process_registration,
        page=page,
    )


def _build_receipt_poster(settings: Settings, database: Database, http: httpx2.AsyncClient) -> SandboxReceiptPoster:
    return SandboxReceiptPoster(database, http, f"{settings.base_url}/api/v1/receipts/sandbox", settings.secret)
