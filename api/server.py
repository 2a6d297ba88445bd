"""Serves the API with its background work until told to stop. Called by the command line."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from api.app import create_app
from bootstrap import Parts

GRACE = 2  # seconds that requests in flight get at the end


class Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours are set by the caller; uvicorn would raise them again when it is done and skip our closing."""
        yield


async def serve(parts: Parts, stop: asyncio.Event) -> None:
    config = uvicorn.Config(
        create_app(parts),
        host=parts.settings.api_host,
        port=parts.settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    server = Server(config)
    background = [asyncio.create_task(run()) for run in parts.background()]
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping, *background}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving
    for task in (*background, stopping):
        task.cancel()
    ended = await asyncio.gather(*background, return_exceptions=True)
    if broken := [error for error in ended if isinstance(error, Exception)]:
        raise ExceptionGroup("background work ended", broken)
