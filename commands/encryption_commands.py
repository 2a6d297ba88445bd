"""Show and rotate the keys of encrypted secrets: `tocsin encryption`. Each command imports what loads the database."""

import typer

from commands.execution import load_settings, run_with_database
from commands.local_stack import LocalSettings, local_encryption_keys, local_settings
from config import Settings

encryption_commands = typer.Typer(no_args_is_help=True, help="Keys of the encrypted secrets in the database.")


def _load_settings() -> Settings:
    given = load_settings(LocalSettings)
    here = local_settings(given)
    return load_settings(Settings, **here, **(local_encryption_keys(given) if here else {}))


@encryption_commands.command("status")
def show_status() -> None:
    """Show how many secrets of each table are encrypted by which key. Needs the database, not the API."""

    from commands.encryption_rotation import status_lines

    run_with_database(status_lines, _load_settings)


@encryption_commands.command("rotate")
def rotate_keys() -> None:
    """Encrypt all secrets with the first key of TOCSIN_ENCRYPTION_KEYS, in batches, while sends continue.
    Idempotent."""

    from commands.encryption_rotation import rotate_secrets

    run_with_database(lambda settings: rotate_secrets(settings, typer.echo), _load_settings)
