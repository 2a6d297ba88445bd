"""Serve the API with its background work until it is stopped. Called by `python -m api`."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.http_protocol import LimitedHttpProtocol, ServerConfig
from api.key_uses import KeyUses
from api.limits.body_budget import BodyBudget
from api.limits.client_connections import ConnectionLimits, Connections
from api.limits.rate_limits import RateLimits
from bootstrap import Container
from config import Settings
from metrics.registry import ProcessGauges
from storage.connections import suppress_outages
from supervision.process_flags import freeze_loaded_objects
from supervision.watchdog import do_nothing

SWITCH_INTERVAL = 0.001  # seconds; 0.005 by default
SHUTDOWN_GRACE = 2  # seconds for requests in flight at shutdown


class ApiServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signal handling to the caller. uvicorn would raise captured signals again at its end and skip our
        cleanup."""
        yield


def reduce_event_loop_pauses() -> None:
    """Exempt objects loaded at the start from garbage collection, and let the event loop interrupt a thread earlier.

    Reading one large body causes several collections, each of which would take 0.1 s. While a thread reads it, each
    round of the event loop waits for the interpreter lock once.
    """
    freeze_loaded_objects()
    sys.setswitchinterval(SWITCH_INTERVAL)


def server_config(app: FastAPI, host: str, port: int, limits: ConnectionLimits = ConnectionLimits()) -> ServerConfig:
    """Return the uvicorn configuration. Benchmarks use it too, so that their bare endpoint is served in the same
    way."""
    config = ServerConfig(
        app,
        host=host,
        port=port,
        http=LimitedHttpProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=limits.idle_timeout,
        timeout_graceful_shutdown=SHUTDOWN_GRACE,
        forwarded_allow_ips=list(limits.trusted_networks),
    )
    config.connections = Connections(limits)
    return config


def connection_limits_of(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(
        connections=settings.api_connections,
        per_source=settings.api_connections_per_source,
        header_timeout=settings.header_timeout,
        body_timeout=settings.body_timeout,
        idle_timeout=settings.keep_alive_timeout,
        trusted_networks=settings.trusted_networks,
    )


async def serve(container: Container, stop: asyncio.Event, on_end: Callable[[], None] = do_nothing) -> None:
    settings = container.settings
    app = create_app(container)
    use_recorder: KeyUses = app.state.key_uses
    config = server_config(app, settings.api_host, settings.api_port, connection_limits_of(settings))
    container.page.add(load_gauges(app, config.connections))
    server = ApiServer(config)
    reduce_event_loop_pauses()
    container.renderer.start_children()
    background_loops = [asyncio.create_task(run()) for run in (*container.background_loops(), use_recorder.run)]
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping, *background_loops}, return_when=asyncio.FIRST_COMPLETED)
    on_end()
    server.should_exit = True
    await serving
    for task in (*background_loops, stopping):
        task.cancel()
    ended = await asyncio.gather(*background_loops, return_exceptions=True)
    with suppress_outages():
        await use_recorder.write()
    await app.state.rate_limits.close()
    if errors := [error for error in ended if isinstance(error, Exception)]:
        raise ExceptionGroup("background work ended", errors)


def load_gauges(app: FastAPI, connections: Connections) -> ProcessGauges:
    bodies: BodyBudget = app.state.body_budget
    rates: RateLimits = app.state.rate_limits
    readers: dict[str, Callable[[], float]] = {
        "tocsin_api_connections_open": lambda: len(connections),
        "tocsin_api_connections_max": lambda: connections.limits.connections,
        "tocsin_receipt_bodies_bytes": lambda: bodies.bytes,
        "tocsin_receipt_bodies_max_bytes": lambda: bodies.max_bytes,
    }
    if (shared := rates.shared) is not None:
        readers["tocsin_rate_limit_store_up"] = lambda: shared.is_up
    return ProcessGauges(readers)
