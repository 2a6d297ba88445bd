"""Manage the store of Temporal and the hold on a restored database: `tocsin temporal` and `tocsin hold`. Each command
imports what loads the database."""

from typing import Annotated

import typer

from commands.execution import run_with_database

store_commands = typer.Typer(no_args_is_help=True, help="Temporal's database (its store), and recovery after its loss.")
hold_commands = typer.Typer(no_args_is_help=True, help="The hold that TOCSIN_HOLD_ON_START begins after a restore.")
HoldName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the hold, as shown by 'show'.")]
NamespaceId = Annotated[str, typer.Argument(metavar="ID", help="Id of the other store, as shown by 'show'.")]


@store_commands.command("show")
def show_store() -> None:
    """Show the store that has the workflows, and the progress of the last recovery. Needs the database, not the API."""

    from commands.store_reports import describe_stores

    run_with_database(describe_stores)


@store_commands.command("adopt")
def adopt_store(id: NamespaceId) -> None:
    """Confirm that the former store is lost. Restarts open notifications in the new one within seconds."""

    from commands.store_reports import adopt

    run_with_database(lambda settings: adopt(settings, id))


@hold_commands.command("show")
def show_hold() -> None:
    """Show whether all notifications are held, and since when. Needs the database, not the API."""

    from commands.holds import describe_hold

    run_with_database(describe_hold)


@hold_commands.command("release")
def release(name: HoldName) -> None:
    """End a hold and restart open notifications. Those that may have been sent follow their delivery_guarantee."""

    from commands.holds import release_and_describe

    run_with_database(lambda settings: release_and_describe(settings, name))
