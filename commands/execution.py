"""Run a command: load its settings, start the event loop, print errors as lines, and set the exit code."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import typer

from commands.client import ApiClient, open_api, resolve_address
from commands.errors import CommandError
from commands.local_stack import CHECKOUT, LocalSettings, local_settings
from config import ClientSettings, Settings
from config.sources import InvalidSettings
from embedded.errors import StackError

INTERRUPTED_EXIT_CODE = 130
SettingsType = TypeVar("SettingsType", bound=ClientSettings)


def load_settings(settings_class: type[SettingsType], **given: Any) -> SettingsType:
    try:
        return settings_class.read(**given)
    except InvalidSettings as error:
        for line in error.lines:
            typer.echo(f"tocsin: {line}", err=True)
        raise typer.Exit(2) from None


def run_with_api(work: Callable[[ApiClient], Awaitable[None]]) -> None:
    """Run the command with the API of the settings, or of the local stack."""
    settings = load_settings(ClientSettings)

    async def connected() -> None:
        async with open_api(*resolve_address(settings)) as api:
            await work(api)

    with report_errors():
        asyncio.run(connected())


def run_and_exit(work: Coroutine[Any, Any, None]) -> None:
    """Run the command and end the process. A normal exit can abort in the native threads of the Temporal SDK."""
    code = 0
    try:
        with report_errors():
            asyncio.run(work)
    except typer.Exit as exit:
        code = exit.exit_code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def load_local_settings() -> Settings:
    """Load the settings of a process, with those of the local stack if it runs."""
    return load_settings(Settings, **local_settings(load_settings(LocalSettings)))


def run_with_database(
    work: Callable[[Settings], Awaitable[str | Sequence[str] | None]],
    load: Callable[[], Settings] = load_local_settings,
) -> None:
    """Run the command with the settings that `load` returns, print the line or lines that it returns, and end the
    process."""

    async def print_result() -> None:
        result = await work(load())
        for line in [result] if isinstance(result, str) else result or ():
            typer.echo(line)

    run_and_exit(print_result())


def replace_process(*arguments: str) -> None:
    """Replace the process by the server, so that it receives signals itself and keeps the pid."""
    os.chdir(CHECKOUT)
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - runs our own entry points


@contextmanager
def report_errors() -> Iterator[None]:
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
        raise typer.Exit(INTERRUPTED_EXIT_CODE) from None
