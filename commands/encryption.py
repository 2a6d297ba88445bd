"""`tocsin encryption`: by which keys the secrets in the database are encrypted. What loads the database is imported by
its command."""

import typer

from commands.ending import finish, load
from commands.here import Given, local, local_keys
from config import Settings

encryption_commands = typer.Typer(no_args_is_help=True, help="The keys by which secrets are encrypted in the database.")


def _settings() -> Settings:
    given = load(Given)
    here = local(given)
    return load(Settings, **here, **(local_keys(given) if here else {}))


@encryption_commands.command("status")
def show_status() -> None:
    """Show how many secrets of each table are encrypted by which key. Needs the database, not the API."""

    from commands.encryption_rotation import status

    async def work() -> None:
        for line in await status(_settings()):
            typer.echo(line)

    finish(work())


@encryption_commands.command("rotate")
def rotate_keys() -> None:
    """Encrypt all secrets by the first key of TOCSIN_ENCRYPTION_KEYS, in batches, while sends go on. Safe to repeat."""

    from commands.encryption_rotation import rotate

    async def work() -> None:
        typer.echo(await rotate(_settings(), typer.echo))

    finish(work())
