"""Describe and release the hold of a restored database. Used by `tocsin hold`."""

from commands.database import open_database
from commands.errors import CommandError
from config import Settings
from storage.engine_state import read_hold, release_hold


async def describe_hold(settings: Settings) -> str:
    async with open_database(settings) as database, database.transaction() as session:
        hold = await read_hold(session)
    if hold is None:
        return "there is no hold"
    state = "in force" if hold.in_force else "released"
    return f"hold {hold.name!r}, begun at {hold.since.isoformat()}: {state}"


async def release_and_describe(settings: Settings, name: str) -> str:
    """Raise CommandError if no hold of this name is in force."""
    async with open_database(settings) as database, database.transaction() as session:
        restarted = await release_hold(session, name)
    if restarted is None:
        raise CommandError(f"no hold {name!r} is in force; 'tocsin hold show' shows the current one")
    return f"{name!r} is released; {restarted} notifications will be restarted within seconds"
