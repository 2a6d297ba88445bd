"""Open the database without the API, for operators who have no key yet."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from commands.errors import CommandError
from config import Settings
from storage.connections import DATABASE_ERRORS
from storage.database import Database
from storage.encryption import Encryption
from storage.migrate import NewerSchemaError


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Raise CommandError if no database is set, or if it is unavailable or not migrated."""
    if not settings.database_url:
        raise CommandError("set TOCSIN_DATABASE_URL, or start everything with 'make run'")
    database = Database(settings.database_url, encryption=Encryption.from_settings(settings))
    try:
        yield database
    except DATABASE_ERRORS as error:
        raise CommandError(f"the database is unavailable or not migrated ({type(error).__name__})") from None
    finally:
        await database.close()


async def run_migrations(settings: Settings, migrate: Callable[[str], Awaitable[None]]) -> None:
    """Run `migrate`. Raise CommandError if the database is unavailable or newer."""
    if not settings.database_url:
        raise CommandError("set TOCSIN_DATABASE_URL, or start everything with 'make run'")
    try:
        await migrate(settings.database_url)
    except DATABASE_ERRORS as error:
        raise CommandError(f"the database is unavailable ({type(error).__name__})") from None
    except NewerSchemaError as error:
        raise CommandError(str(error)) from None
