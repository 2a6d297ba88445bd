"""Define the `tocsin` command for operators. It only calls bootstrap and the API.

Each command imports the server code that it needs, so that `tocsin send` does not load the SDK of Temporal.
"""

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from commands.audit import audit
from commands.client import ApiClient
from commands.dead_letters import explain, failures, redrive
from commands.encryption_commands import encryption_commands
from commands.execution import load_settings, replace_process, run_and_exit, run_with_api
from commands.key_commands import key_commands
from commands.local_stack import CHECKOUT, LocalSettings, local_or_dev_settings
from commands.sending import send
from commands.store_commands import hold_commands, store_commands
from commands.tail import Tail
from commands.tenant_commands import tenant_commands
from commands.timeline import print_notification, tail_line
from config import Settings
from embedded.errors import StackError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Self-hosted notification infrastructure.",
)
provider_commands = typer.Typer(no_args_is_help=True, help="Check the settings and credentials of providers.")
app.add_typer(tenant_commands, name="tenants")
app.add_typer(key_commands, name="keys")
app.add_typer(provider_commands, name="providers")
app.add_typer(store_commands, name="temporal")
app.add_typer(hold_commands, name="hold")
app.add_typer(encryption_commands, name="encryption")
console = Console(highlight=False)


@app.command()
def dev() -> None:
    """Run everything on this machine: Postgres, Temporal, worker and API. `make run` calls this."""
    import bootstrap
    from commands.demo import print_welcome
    from commands.provider_checks import require_complete_settings
    from embedded.stack import Stack
    from supervision.process_flags import end_with_make

    end_with_make()
    os.chdir(CHECKOUT)  # its child processes read .env there too
    settings = load_settings(Settings, env="dev")
    prepare = partial(prepare_temporal, settings)
    greet = partial(print_welcome, settings)

    async def work() -> None:
        await require_complete_settings(settings)
        await Stack(settings, migrate=bootstrap.prepare_database, after_temporal_start=prepare, greet=greet).run()

    run_and_exit(work())


@app.command()
def api() -> None:
    """Run the HTTP API and its background work, such as applying receipts."""
    replace_process("-m", "api")


@app.command()
def worker(
    queue: Annotated[
        list[str] | None, typer.Option(metavar="QUEUE", help="Serve only this task queue. Can be repeated.")
    ] = None,
) -> None:
    """Run a worker for all task queues, or for the given ones."""
    replace_process("worker.py", *(queue or []))


@app.command()
def migrate() -> None:
    """Migrate the database to the newest revision."""
    import bootstrap
    from commands.database import run_migrations

    run_and_exit(run_migrations(load_settings(Settings), bootstrap.prepare_database))


@app.command()
def apply(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with types/ and templates/; see docs/templates.md.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
) -> None:
    """Make the types and templates of the server match the files in DIR. Deletes nothing."""
    from commands.apply import apply

    run_with_api(
        lambda api: apply(
            api, folder, dry_run=dry_run, print_line=typer.echo, print_warning=partial(typer.echo, err=True)
        )
    )


@app.command("show")
def show_notification(
    id: Annotated[
        str, typer.Argument(metavar="ID", help="Notification id, or its last characters as shown by 'tail'.")
    ],
) -> None:
    """Show the timeline of one notification."""
    from commands.client import resolve_id

    async def work(api: ApiClient) -> None:
        print_notification(console, await api.get(f"/notifications/{await resolve_id(api, id)}"))

    run_with_api(work)


@app.command()
def tail(
    recipient: Annotated[str | None, typer.Option(metavar="RECIPIENT", help="Only for this recipient.")] = None,
    type: Annotated[str | None, typer.Option(metavar="TYPE", help="Only of this notification type.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until Ctrl-C.")] = False,
    lines: Annotated[
        int, typer.Option("-n", metavar="NUMBER", min=1, max=100, help="Number of newest notifications.")
    ] = 20,
) -> None:
    """Show the timeline entries of notifications, oldest first."""

    async def work(api: ApiClient) -> None:
        timeline_tail = Tail(
            api, lambda shown, entry: console.print(tail_line(shown, entry), soft_wrap=True), recipient, type
        )
        await (timeline_tail.follow(lines) if follow else timeline_tail.print_latest(lines))

    run_with_api(work)


for command in (send, explain, failures, redrive, audit):
    app.command()(command)


@provider_commands.command("check")
def check_provider(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name such as sendgrid; see docs/providers.md.")],
    send_to: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Send a test message to this address, number or token.")
    ] = None,
) -> None:
    """Check that a provider's settings are complete and that its vendor accepts them. Sends nothing by default."""
    from commands.provider_checks import check_named_provider

    async def work() -> None:
        typer.echo(
            await check_named_provider(
                load_settings(Settings, **local_or_dev_settings(load_settings(LocalSettings))), name, send_to
            )
        )

    run_and_exit(work())


async def prepare_temporal(settings: Settings, address: str, database_url: str | None) -> None:
    from temporalio.service import RPCError

    from dispatch.temporal import preparation
    from storage.connections import DATABASE_ERRORS

    try:
        given = settings if settings.temporal_address else None
        await preparation.prepare_temporal(address, settings.temporal_namespace, database_url, given)
    except (RPCError, RuntimeError) as error:
        raise StackError(f"Temporal rejects the search attributes or Schedules of Tocsin: {error}") from error
    except DATABASE_ERRORS as error:
        raise StackError(f"the database is unavailable ({type(error).__name__})") from error


if __name__ == "__main__":
    app(prog_name="tocsin")
