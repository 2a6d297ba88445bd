"""`tocsin temporal`: which store has the workflows. What loads the database is imported by its command."""

from typing import Annotated

import typer

from commands.ending import finish, load
from commands.here import Given, local
from config import Settings

store_commands = typer.Typer(no_args_is_help=True, help="Temporal's store, and what is started again when it was lost.")
NamespaceId = Annotated[str, typer.Argument(metavar="NAMESPACE_ID", help="The other store, as 'show' names it.")]


@store_commands.command("show")
def show_store() -> None:
    """Show which store has the workflows, and the progress of the last recovery. Needs the database, not the API."""

    from commands.store_reports import described

    async def work() -> None:
        typer.echo(await described(load(Settings, **local(load(Given)))))

    finish(work())


@store_commands.command("adopt")
def adopt_store(id: NamespaceId) -> None:
    """Confirm that the former store is lost: open notifications are started again in this one within seconds."""

    from commands.store_reports import adopt

    async def work() -> None:
        typer.echo(await adopt(load(Settings, **local(load(Given))), id))

    finish(work())
