"""The `tocsin` command: what an operator does by hand. Thin: it calls bootstrap and the API.

Servers are imported by the command that needs them: `tocsin send` should not wait for Temporal's SDK to load.
"""

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from commands.audit import audit
from commands.client import Api
from commands.encryption import encryption_commands
from commands.ending import become, finish, load, talk
from commands.here import CHECKOUT, Given, local_or_dev
from commands.key_commands import key_commands
from commands.parked import explain, failures, redrive
from commands.sending import send
from commands.stores import hold_commands, store_commands
from commands.tail import Tail
from commands.tenant_commands import tenant_commands
from commands.timeline import news, show
from config import Settings
from embedded.errors import StackError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Self-hosted notification infrastructure.",
)
providers = typer.Typer(no_args_is_help=True, help="Providers.")
app.add_typer(tenant_commands, name="tenants")
app.add_typer(key_commands, name="keys")
app.add_typer(providers, name="providers")
app.add_typer(store_commands, name="temporal")
app.add_typer(hold_commands, name="hold")
app.add_typer(encryption_commands, name="encryption")
console = Console(highlight=False)


@app.command()
def dev() -> None:
    """Everything on this machine: Postgres, Temporal, worker and API; what `make run` calls."""
    import bootstrap
    from commands.demo import greet
    from commands.provider_checks import complete
    from embedded.parent import end_with_make
    from embedded.stack import Stack

    end_with_make()
    os.chdir(CHECKOUT)  # where its children read .env, too
    settings = load(Settings, env="dev")
    prepare = partial(prepare_temporal, settings)
    hello = partial(greet, settings)

    async def work() -> None:
        await complete(settings)
        await Stack(settings, migrate=bootstrap.prepare_database, after_temporal_start=prepare, greet=hello).run()

    finish(work())


@app.command()
def api() -> None:
    """The HTTP API with dispatcher and receipts."""
    become("-m", "api")


@app.command()
def worker(
    queue: Annotated[list[str] | None, typer.Option(help="Only this task queue; may be given several times.")] = None,
) -> None:
    """A worker for all task queues, or for those that are named."""
    become("worker.py", *(queue or []))


@app.command()
def migrate() -> None:
    """Bring the database to the newest revision."""
    import bootstrap
    from commands.direct import migrated

    finish(migrated(load(Settings), bootstrap.prepare_database))


@app.command()
def apply(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Has types/ and templates/; see docs/templates.md.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change and change nothing.")] = False,
) -> None:
    """Make the server's types and templates what the files in DIR say. Nothing is ever deleted."""
    from commands.apply import apply

    talk(lambda api: apply(api, folder, dry_run=dry_run, say=typer.echo, warn=partial(typer.echo, err=True)))


@app.command("show")
def show_one(id: Annotated[str, typer.Argument(help="Notification id, or its end as 'tail' shows it.")]) -> None:
    """What happened to one notification."""
    from commands.recent import whole_id

    async def work(api: Api) -> None:
        show(console, await api.get(f"/notifications/{await whole_id(api, id)}"))

    talk(work)


@app.command()
def tail(
    recipient: Annotated[str | None, typer.Option(help="Only of this recipient.")] = None,
    type: Annotated[str | None, typer.Option(help="Only of this notification type.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("-n", min=1, max=100, help="Of so many notifications, the newest.")] = 20,
) -> None:
    """What happens to notifications, entry by entry."""

    async def work(api: Api) -> None:
        told = Tail(api, lambda shown, entry: console.print(news(shown, entry), soft_wrap=True), recipient, type)
        await (told.follow(lines) if follow else told.once(lines))

    talk(work)


for verb in (send, explain, failures, redrive, audit):
    app.command()(verb)


@providers.command("check")
def check_provider(
    name: Annotated[str, typer.Argument(help="Such as sendgrid; see docs/providers.md.")],
    send_to: Annotated[str | None, typer.Option(help="Send a test message to this address, number or token.")] = None,
) -> None:
    """Whether a provider's settings are complete and its vendor knows our credentials. Sends nothing by itself."""
    from commands.provider_checks import check

    async def work() -> None:
        typer.echo(await check(load(Settings, **local_or_dev(load(Given))), name, send_to))

    finish(work())


async def prepare_temporal(settings: Settings, address: str, database_url: str | None) -> None:
    from temporalio.service import RPCError

    import bootstrap
    from storage.outages import DATABASE_ERRORS

    try:
        given = settings if settings.temporal_address else None
        await bootstrap.prepare_temporal(address, settings.temporal_namespace, database_url, given)
    except (RPCError, RuntimeError) as error:
        raise StackError(f"Temporal does not take our search attributes and Schedules: {error}") from error
    except DATABASE_ERRORS as error:
        raise StackError(f"the database does not answer ({type(error).__name__})") from error


if __name__ == "__main__":
    app(prog_name="tocsin")
