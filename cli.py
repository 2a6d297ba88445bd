"""The `tocsin` command: what an operator does by hand. Thin: it calls bootstrap and the API."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError
from temporalio.service import RPCError

import bootstrap
from config import Settings
from embedded.demo import greet
from embedded.errors import StackError
from embedded.parent import end_with_make
from embedded.stack import Stack

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Self-hosted notification infrastructure.")


@app.command()
def dev() -> None:
    """Everything on this machine: Postgres, Temporal, worker and API; what `make run` calls."""
    end_with_make()
    settings = load(env="dev")
    stack = Stack(
        settings,
        migrate=bootstrap.prepare_database,
        after_temporal_start=partial(prepare_temporal, namespace=settings.temporal_namespace),
        greet=greet,
    )
    finish(stack.run())


@app.command()
def api() -> None:
    """The HTTP API with dispatcher and receipts."""
    become("-m", "api")


@app.command()
def worker() -> None:
    """A worker for all task queues."""
    become("worker.py")


@app.command()
def migrate() -> None:
    """Bring the database to the newest revision."""
    finish(bootstrap.prepare_database(load().database_url))


async def prepare_temporal(address: str, namespace: str) -> None:
    try:
        await bootstrap.prepare_temporal(address, namespace)
    except (RPCError, RuntimeError) as error:
        raise StackError(f"Temporal does not take our search attributes and Schedules: {error}") from error


def become(*arguments: str) -> None:
    """The process itself becomes the server, so that signals and pids are the server's own."""
    os.chdir(Path(__file__).parent)
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - our own entry points


def load(**given: Any) -> Settings:
    try:
        return Settings(**given)
    except ValidationError as error:
        for problem in error.errors():
            name = ".".join(str(part) for part in problem["loc"])
            typer.echo(f"TOCSIN_{name.upper()}: {problem['msg']}" if name else problem["msg"], err=True)
        raise typer.Exit(2) from None


def finish(work: Coroutine[Any, Any, None]) -> None:
    """Run it and end the process; a plain exit can abort in the Temporal SDK's native threads."""
    code = 0
    try:
        asyncio.run(work)
    except StackError as error:
        typer.echo(f"tocsin: {error}", err=True)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    app()
