"""The only place that builds and closes things: settings → database → providers → activities → Temporal client.

Worker, API, command line and tests all come through here.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx2
from temporalio.client import Client
from temporalio.service import RPCError

from activities.circuits import Circuits
from activities.composition import Composition
from activities.delivery import Delivering
from activities.digesting import Digesting
from activities.gates import Gates
from activities.reconciliation import Reconciling
from activities.recording import Recording
from activities.recurring import Recurring
from activities.resolution import Resolution
from activities.settlement import Settlement
from activities.ticks import Ticking
from config import Settings
from dispatch.announcements import Announcements
from dispatch.assembly import dispatcher_of, means_of, process_gauges
from dispatch.connection import connect, connect_by, reaching_temporal
from dispatch.dispatcher import Dispatcher
from dispatch.event_posts import EventPosts
from dispatch.loops import Loop
from dispatch.presence import Presence
from dispatch.receipts import ReceiptApplier
from dispatch.sandbox_reports import SandboxReports
from dispatch.search_attributes import prepare
from dispatch.start_holds import after_release
from dispatch.starter import Starter
from dispatch.stores import confirm_store
from dispatch.wakeups import Wakeups, listener_of
from domain.tracking import TraceSigner
from metrics.page import Page
from providers.base import Provider
from providers.guard import GuardedBackend, guarded
from providers.pools import Pools, build_providers, pools_of
from providers.tools import Tools
from providers.transport import Transport, outgoing_client
from rendering.renderer import Renderer
from rendering.tracking import Tracker
from storage.catalog import Catalog
from storage.database import Database
from storage.encryption import Encryption
from storage.in_app import InboxRows
from storage.migrate import migrate
from storage.sandbox import SandboxLedger

prepare_database = migrate
NO_DATABASE = "postgresql+asyncpg://nobody@127.0.0.1:1/none"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything a process may use; closed by `open_parts`."""

    settings: Settings
    database: Database
    catalog: Catalog
    renderer: Renderer
    providers: Mapping[str, Provider]
    pools: Pools
    temporal: Client
    circuits: Circuits
    dispatcher: Dispatcher
    listener: Wakeups
    announcements: Announcements
    recurring: Recurring
    receipts: ReceiptApplier
    reports: SandboxReports | None
    event_posts: EventPosts
    presence: Presence
    page: Page

    @property
    def process_id(self) -> UUID:
        """New at each start."""
        return self.presence.process_id

    async def temporal_ok(self) -> bool:
        try:
            with reaching_temporal():
                return await self.temporal.service_client.check_health(timeout=timedelta(seconds=1))
        except RPCError:
            return False

    @property
    def on_receipts(self) -> Callable[[], None]:
        return self.receipts.wake

    @property
    def activities(self) -> Sequence[Callable[..., Any]]:
        """Our own work, on the notifications queue."""
        settlement, digesting = Settlement(self.database.of_activities), Digesting(self.database.of_activities)
        return (
            self.resolution.resolve_preferences,
            self.composition.render_messages,
            *(settlement.settle, settlement.check_step),
            digesting.close_digest,
            self._recording.record_outcome,
            Ticking(self.database.of_activities, {**self.recurring.works, "digests": digesting.close_due}).run_tick,
        )

    @property
    def vendor_activities(self) -> Sequence[Callable[..., Any]]:
        """What calls a provider: on its own queue, or on the notifications queue if it has no rate."""
        database, providers = self.database.of_activities, self.providers
        tracker = Tracker(TraceSigner(self.settings.secret), self.settings.base_url)
        rates = {name: self.settings.rate(name) for name in providers}
        delivering = Delivering(database, providers, self.circuits, self._recording, tracker, rates)
        return delivering.deliver, Reconciling(database, providers, self._recording).look_up

    @property
    def resolution(self) -> Resolution:
        database = self.database.of_activities
        gates = Gates(database, self.settings.secret)
        return Resolution(database, self.catalog, self.pools, self.circuits, gates, self.composition)

    @property
    def composition(self) -> Composition:
        return Composition(self.database.of_activities, self.catalog, self.renderer)

    @property
    def _recording(self) -> Recording:
        return Recording(self.database.of_activities, self.providers)

    async def watch_providers(self) -> None:
        """What a worker runs beside its queues: its view of the circuits."""
        await Loop("circuits", self.circuits.look).run()

    def background(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What the API process runs beside its requests."""
        event_posts = partial(after_release, self.database, self.event_posts.run)
        always: list[Callable[[], Coroutine[Any, Any, None]]] = [event_posts, self.listener.run, self.announcements.run]
        always += [self.receipts.run, self.presence.run]
        return [*always, self.reports.run] if self.reports else always


@asynccontextmanager
async def open_parts(
    settings: Settings, *, client: Client | None = None, children: int = 2, kind: str = "api", page: Page | None = None
) -> AsyncIterator[Parts]:
    """`client` if one is connected already (a worker needs that); `children` renders at a time; `kind` of process;
    `page` of its metrics, if that is served already."""
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url, pool_size=settings.database_pool, encryption=Encryption.of(settings))
        stack.push_async_callback(database.close)
        http = await stack.enter_async_context(outgoing_client())
        chosen = await stack.enter_async_context(chosen_client(settings))
        renderer = Renderer(children)
        stack.push_async_callback(renderer.close)
        temporal = client or await connect_by(settings, lazy=True)
        providers = build_providers(settings, tools_of(settings, database, http, chosen))
        posts = EventPosts(database, Transport(chosen))
        parts = _assemble(settings, database, renderer, http, temporal, providers, posts, kind, page or Page())
        parts.page.add(process_gauges(database, renderer.pool, parts.dispatcher if kind == "worker" else None))
        yield parts


def chosen_client(settings: Settings) -> httpx2.AsyncClient:
    """The one that goes to addresses that users choose."""
    return outgoing_client(guarded(GuardedBackend(settings.targets)))


async def check_settings(settings: Settings) -> None:
    """Build the providers of all pools, as each process does; needs no server. Raises WrongSettings."""
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url or NO_DATABASE)
        stack.push_async_callback(database.close)
        http = await stack.enter_async_context(outgoing_client())
        pools_of(settings, build_providers(settings, tools_of(settings, database, http, http)))


def tools_of(settings: Settings, database: Database, http: httpx2.AsyncClient, chosen: httpx2.AsyncClient) -> Tools:
    """`chosen` goes where users say. Providers are called by activities."""
    return Tools(
        transport=Transport(http),
        guarded=Transport(chosen),
        secret=settings.secret,
        receipts_url=lambda name: f"{settings.base_url}/api/v1/receipts/{name}",
        inbox=InboxRows(database.of_activities),
        sandbox_books=SandboxLedger(database.of_activities),
    )


def _assemble(
    settings: Settings,
    database: Database,
    renderer: Renderer,
    http: httpx2.AsyncClient,
    temporal: Client,
    providers: Mapping[str, Provider],
    event_posts: EventPosts,
    kind: str,
    page: Page,
) -> Parts:
    catalog = Catalog(database)
    reports = _reports(settings, database, http) if "sandbox" in providers else None
    means = means_of(settings, database, catalog, temporal, providers)
    page.add(means.sampled)
    presence = Presence(database, kind, providers, lambda: renderer.isolation)
    return Parts(
        settings=settings,
        database=database,
        catalog=catalog,
        renderer=renderer,
        providers=providers,
        pools=pools_of(settings, providers),
        temporal=temporal,
        circuits=Circuits(database),
        dispatcher=dispatcher_of(settings, means, presence.process_id),
        listener=listener_of(database, catalog.flush, reports.wake if reports else lambda: None, event_posts.wake),
        announcements=Announcements(database),
        recurring=means.recurring,
        receipts=ReceiptApplier(database),
        reports=reports,
        event_posts=event_posts,
        presence=presence,
        page=page,
    )


def _reports(settings: Settings, database: Database, http: httpx2.AsyncClient) -> SandboxReports:
    return SandboxReports(database, http, f"{settings.base_url}/api/v1/receipts/sandbox", settings.secret)


async def prepare_temporal(
    address: str, namespace: str, database_url: str | None = None, settings: Settings | None = None
) -> None:
    """After each start of the server. A new store is adopted at once for a database that has no other server.
    `settings` are those of a server that is not ours, with TLS and API key."""
    client = await (connect_by(settings, lazy=False) if settings else connect(address, namespace, lazy=False))
    await prepare(client)
    if database_url is not None:
        await confirm_store(database_url, Starter(client))
