"""Serves the API with its background work until told to stop. Called by the command line."""

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.key_uses import KeyUses
from bootstrap import Parts
from storage.outages import without_outages
from watchdog import nothing

SWITCH_INTERVAL = 0.001  # seconds; 0.005 by default
GRACE = 2  # seconds that requests in flight get at the end


class Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours are set by the caller; uvicorn would raise them again when it is done and skip our closing."""
        yield


def shorten_pauses() -> None:
    """Exempt what was loaded at the start from garbage collection, and let the event loop interrupt a thread earlier.

    Reading one large body causes several collections, each of which would take 0.1 s. While a thread reads it, each
    round of the event loop waits for the interpreter lock once.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_INTERVAL)


def server_config(app: FastAPI, host: str, port: int) -> uvicorn.Config:
    """Also used by the benchmarks, whose bare endpoint must be served in the same way."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )


async def serve(parts: Parts, stop: asyncio.Event, on_end: Callable[[], None] = nothing) -> None:
    settings = parts.settings
    app = create_app(parts)
    uses: KeyUses = app.state.key_uses
    server = Server(server_config(app, settings.api_host, settings.api_port))
    shorten_pauses()
    parts.renderer.begin()
    background = [asyncio.create_task(run()) for run in (*parts.background(), uses.run)]
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping, *background}, return_when=asyncio.FIRST_COMPLETED)
    on_end()
    server.should_exit = True
    await serving
    for task in (*background, stopping):
        task.cancel()
    ended = await asyncio.gather(*background, return_exceptions=True)
    with without_outages():
        await uses.write()
    if broken := [error for error in ended if isinstance(error, Exception)]:
        raise ExceptionGroup("background work ended", broken)
