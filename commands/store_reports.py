"""What `tocsin temporal` says and does. Reads the database, where all processes note what they see."""

from datetime import datetime

from commands.direct import open_database
from commands.errors import CommandError
from config import Settings
from domain.stores import ADOPT_AFTER, INTERRUPTED_AFTER
from storage.stores import Recovery, StoreReport, confirm, report

NONE_YET = "no process has seen a Temporal store yet"


async def described(settings: Settings) -> str:
    """Return a line for each fact."""
    async with open_database(settings) as database, database.transaction() as session:
        seen = await report(session)
    if seen is None:
        raise CommandError(NONE_YET)
    known = seen.known
    lines = [f"store     {known.namespace_id}, last seen {_ago(known.seen_at, seen.at)}"]
    if known.other_id is not None and known.other_since is not None:
        lines.append(f"other     {known.other_id}, first seen {_ago(known.other_since, seen.at)}")
        lines.append(f"          adopted after {ADOPT_AFTER.seconds} s, unless a process sees the former store")
        lines.append(f"          to adopt it now: tocsin temporal adopt {known.other_id}")
    if seen.recovery is not None:
        lines.append(_recovery(seen.recovery, seen.at))
    return "\n".join(lines)


async def adopt(settings: Settings, id: str) -> str:
    """Raise CommandError unless processes see this store now."""
    async with open_database(settings) as database, database.transaction() as session:
        seen = await report(session)
        if seen is None:
            raise CommandError(NONE_YET)
        if seen.known.namespace_id == id:
            return f"{id} is adopted already"
        if not _is_seen(seen, id):
            raise CommandError(f"no process sees the store {id} now; 'tocsin temporal show' names those that are seen")
        await confirm(session, id)
    return f"{id} is adopted within seconds; 'tocsin temporal show' shows the progress"


def _is_seen(seen: StoreReport, id: str) -> bool:
    last = seen.known.other_seen_at
    return seen.known.other_id == id and last is not None and seen.at - last <= INTERRUPTED_AFTER


def _recovery(recovery: Recovery, at: datetime) -> str:
    if recovery.finished_at is not None:
        return f"recovery  finished {_ago(recovery.finished_at, at)}: {recovery.done} started again"
    return f"recovery  since {_ago(recovery.since, at)}: {recovery.done} started again, {recovery.left} left"


def _ago(time: datetime | None, at: datetime) -> str:
    return "never" if time is None else f"{max(0, round((at - time).total_seconds()))} s ago"
