"""`tocsin temporal` and `tocsin hold`: which store has the workflows, and the hold at the start on a restored database.
What loads the database is imported by its command."""

from typing import Annotated

import typer

from commands.ending import finish, load
from commands.here import Given, local
from config import Settings

store_commands = typer.Typer(no_args_is_help=True, help="Temporal's store, and what is started again when it was lost.")
hold_commands = typer.Typer(no_args_is_help=True, help="The hold that TOCSIN_HOLD_ON_START begins after a restore.")
HoldName = Annotated[str, typer.Argument(metavar="NAME", help="The hold, as 'show' names it.")]
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


@hold_commands.command("show")
def show_hold() -> None:
    """Show whether everything is held, and since when. Needs the database, not the API."""

    from commands.restores import described_hold

    async def work() -> None:
        typer.echo(await described_hold(load(Settings, **local(load(Given)))))

    finish(work())


@hold_commands.command("release")
def release(name: HoldName) -> None:
    """Let held processes start to work: everything open is started again, and what may have been sent is treated by its
    delivery guarantee."""

    from commands.restores import release_and_describe

    async def work() -> None:
        typer.echo(await release_and_describe(load(Settings, **local(load(Given))), name))

    finish(work())
