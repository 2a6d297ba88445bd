"""Describe and adopt Temporal's store. Reads the database, where all processes record the store they see. Used by
`tocsin temporal`."""

from datetime import datetime

from commands.database import open_database
from commands.errors import CommandError
from config import Settings
from domain.temporal_stores import INTERRUPTED_AFTER, RESET_AFTER
from storage.engine_state import RecoveryProgress, StoreReport, confirm_replacement, read_report

NO_STORE_SEEN = "no process has seen a Temporal store yet"


async def describe_stores(settings: Settings) -> str:
    """Return one line for each fact."""
    async with open_database(settings) as database, database.transaction() as session:
        seen = await read_report(session)
    if seen is None:
        raise CommandError(NO_STORE_SEEN)
    known = seen.known
    lines = [f"store     {known.namespace_id}, last seen {_age_text(known.seen_at, seen.at)}"]
    if known.other_id is not None and known.other_since is not None:
        lines.append(f"other     {known.other_id}, first seen {_age_text(known.other_since, seen.at)}")
        lines.append(f"          adopted after {RESET_AFTER.seconds} s, unless a process sees the former store")
        lines.append(f"          to adopt it now: tocsin temporal adopt {known.other_id}")
    if seen.recovery is not None:
        lines.append(_recovery_line(seen.recovery, seen.at))
    return "\n".join(lines)


async def adopt(settings: Settings, id: str) -> str:
    """Raise CommandError unless processes see this store now."""
    async with open_database(settings) as database, database.transaction() as session:
        seen = await read_report(session)
        if seen is None:
            raise CommandError(NO_STORE_SEEN)
        if seen.known.namespace_id == id:
            return f"{id} is already adopted"
        if not _is_seen(seen, id):
            raise CommandError(f"no process sees the store {id} now; 'tocsin temporal show' shows the visible ones")
        await confirm_replacement(session, id)
    return f"{id} will be adopted within seconds; 'tocsin temporal show' shows the progress"


def _is_seen(seen: StoreReport, id: str) -> bool:
    last = seen.known.other_seen_at
    return seen.known.other_id == id and last is not None and seen.at - last <= INTERRUPTED_AFTER


def _recovery_line(recovery: RecoveryProgress, at: datetime) -> str:
    if recovery.finished_at is not None:
        return f"recovery  finished {_age_text(recovery.finished_at, at)}: {recovery.done} restarted"
    return f"recovery  since {_age_text(recovery.since, at)}: {recovery.done} restarted, {recovery.left} left"


def _age_text(time: datetime | None, at: datetime) -> str:
    return "never" if time is None else f"{max(0, round((at - time).total_seconds()))} s ago"
