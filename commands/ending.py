"""How a command begins and ends: its settings, its event loop, one line per complaint, an exit code."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer

from commands.client import Api, address, open_api
from commands.errors import CommandError
from commands.here import CHECKOUT
from config import ClientSettings
from config_sources import WrongSettings
from embedded.errors import StackError

INTERRUPTED = 130
Chosen = TypeVar("Chosen", bound=ClientSettings)


def load(kind: type[Chosen], **given: Any) -> Chosen:
    try:
        return kind.read(**given)
    except WrongSettings as error:
        for line in error.lines:
            typer.echo(f"tocsin: {line}", err=True)
        raise typer.Exit(2) from None


def talk(work: Callable[[Api], Awaitable[None]]) -> None:
    """With the API of the settings, or of the stack that runs here."""
    settings = load(ClientSettings)

    async def connected() -> None:
        async with open_api(*address(settings)) as api:
            await work(api)

    with complaints():
        asyncio.run(connected())


def finish(work: Coroutine[Any, Any, None]) -> None:
    """Run it and end the process; a plain exit can abort in the Temporal SDK's native threads."""
    code = 0
    try:
        with complaints():
            asyncio.run(work)
    except typer.Exit as exit:
        code = exit.exit_code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def become(*arguments: str) -> None:
    """The process itself becomes the server, so that signals and pids are the server's own."""
    os.chdir(CHECKOUT)
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - our own entry points


@contextmanager
def complaints() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        for line in error.lines:
            typer.echo(f"tocsin: {line}", err=True)
        raise typer.Exit(1) from None
    except StackError as error:
        typer.echo(f"tocsin: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
