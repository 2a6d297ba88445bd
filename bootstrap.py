"""The only place that builds and closes things: settings → database → providers → activities → Temporal client.

Worker, API, command line and tests all come through here.
"""

import logging
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import structlog
from structlog.typing import EventDict, Processor
from temporalio.client import Client
from temporalio.service import RPCError

from activities.composition import Composition
from activities.delivery import Delivering
from activities.resolution import Resolution
from activities.settlement import Settlement
from activities.sweeping import Sweeping
from config import Settings
from dispatch.connection import connect, prepare, reaching_temporal
from dispatch.dispatcher import Dispatcher
from dispatch.receipts import ReceiptApplier
from dispatch.sandbox_reports import SandboxReports
from dispatch.starter import Starter
from domain.channels import Channel
from domain.routing import Pooled
from providers.base import Provider
from providers.guard import guarded
from providers.registry import PROVIDERS
from providers.tools import Tools
from providers.transport import Transport, outgoing_client
from rendering.renderer import Renderer
from storage.api_keys import create_key, ensure_tenant
from storage.catalog import Catalog
from storage.database import Database
from storage.in_app import InboxRows
from storage.migrate import migrate
from storage.sandbox import SandboxLedger

# What the guard and the record around a provider call may take, in seconds.
AROUND_A_CALL = 5.0
DEMO_TENANT = "demo"
SCOPES = ("send", "read", "manage")

Pools = Mapping[Channel, Sequence[Pooled]]


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
    dispatcher: Dispatcher
    receipts: ReceiptApplier
    reports: SandboxReports | None

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
        """Our own work, on the notifications queue. `deliver` has a queue per provider."""
        return (
            Resolution(self.database, self.catalog, self.pools).resolve_preferences,
            Composition(self.database, self.catalog, self.renderer).render_messages,
            Settlement(self.database).settle,
            self.delivering.record_outcome,
            Sweeping(self.dispatcher.sweep_once).sweep,
        )

    @property
    def delivering(self) -> Delivering:
        return Delivering(self.database, self.providers)

    def background(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What the API process runs beside its requests."""
        both: list[Callable[[], Coroutine[Any, Any, None]]] = [self.dispatcher.run, self.receipts.run]
        return [*both, self.reports.run] if self.reports else both


@asynccontextmanager
async def open_parts(settings: Settings, *, client: Client | None = None, children: int = 2) -> AsyncIterator[Parts]:
    """`client` if one is connected already (a worker needs that); `children` renders at a time."""
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url)
        stack.push_async_callback(database.close)
        http = await stack.enter_async_context(outgoing_client())
        chosen = await stack.enter_async_context(outgoing_client(None if settings.private_webhooks else guarded()))
        renderer = Renderer(children)
        stack.push_async_callback(renderer.close)
        temporal = client or await connect(settings.temporal_address, settings.temporal_namespace, lazy=True)
        providers = _providers(settings, tools_of(settings, database, http, chosen))
        yield _assemble(settings, database, renderer, http, temporal, providers)


def tools_of(settings: Settings, database: Database, http: httpx2.AsyncClient, chosen: httpx2.AsyncClient) -> Tools:
    """`chosen` goes where users say."""
    return Tools(
        transport=Transport(http),
        guarded=Transport(chosen),
        secret=settings.secret,
        receipts_url=lambda name: f"{settings.base_url}/api/v1/receipts/{name}",
        inbox=InboxRows(database),
        sandbox_books=SandboxLedger(database),
    )


def _assemble(
    settings: Settings,
    database: Database,
    renderer: Renderer,
    http: httpx2.AsyncClient,
    temporal: Client,
    providers: Mapping[str, Provider],
) -> Parts:
    catalog = Catalog(database)
    reports = _reports(settings, database, http) if "sandbox" in providers else None
    dispatcher = Dispatcher(
        database,
        Starter(temporal),
        start_rate=settings.start_rate,
        on_flush=catalog.flush,
        on_sandbox=reports.wake if reports else lambda: None,
    )
    return Parts(
        settings=settings,
        database=database,
        catalog=catalog,
        renderer=renderer,
        providers=providers,
        pools=_pools(settings, providers),
        temporal=temporal,
        dispatcher=dispatcher,
        receipts=ReceiptApplier(database),
        reports=reports,
    )


def _providers(settings: Settings, tools: Tools) -> dict[str, Provider]:
    """Those that some channel's pool names. An unknown name is an error at start, never a silent fallback."""
    named = {name for channel in Channel for name in settings.pool(channel)}
    if unknown := named - set(PROVIDERS):
        raise ValueError(f"unknown provider: {', '.join(sorted(unknown))}; there are {', '.join(sorted(PROVIDERS))}")
    return {name: PROVIDERS[name].build(tools) for name in sorted(named)}


def _pools(settings: Settings, providers: Mapping[str, Provider]) -> Pools:
    pools = {channel: [providers[name] for name in settings.pool(channel)] for channel in Channel}
    for channel, members in pools.items():
        if misplaced := [member.name for member in members if channel not in member.channels]:
            raise ValueError(f"{', '.join(misplaced)} cannot deliver on {channel}")
    return {channel: [_pooled(member) for member in members] for channel, members in pools.items()}


def _pooled(provider: Provider) -> Pooled:
    return Pooled(
        name=provider.name,
        timeout=timedelta(seconds=provider.deadline + AROUND_A_CALL),
        device_kinds=provider.device_kinds,
        can_be_asked=provider.lookup != "none",
    )


def _reports(settings: Settings, database: Database, http: httpx2.AsyncClient) -> SandboxReports:
    return SandboxReports(database, http, f"{settings.base_url}/api/v1/receipts/sandbox", settings.secret)


async def prepare_temporal(address: str, namespace: str) -> None:
    """After each start of the server: its store may be a new one."""
    await prepare(await connect(address, namespace, lazy=False))


async def prepare_database(url: str) -> None:
    await migrate(url)


def configure_logging(settings: Settings) -> None:
    """JSON lines on stdout, our own and the libraries'. No exception messages: they may quote what people sent."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _errors_without_messages,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    rendering: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=rendering))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    for noisy in ("httpx2", "httpcore2", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _errors_without_messages(_: object, __: str, event: EventDict) -> EventDict:
    info = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else sys.exc_info()[1] if info else None
    if error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        event["error"] = type(error).__name__
        event["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    return event


async def ensure_demo(parts: Parts) -> None:
    """The demo tenant and its key, in development."""
    secret = parts.settings.dev_api_key.get_secret_value()
    if not parts.settings.dev or not secret:
        return
    async with parts.database.transaction() as session:
        tenant = await ensure_tenant(session, DEMO_TENANT, "Demo")
        await create_key(session, tenant.id, "development", SCOPES, secret=secret)
