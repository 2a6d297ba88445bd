"""`tocsin apply`: a folder of types and templates onto a server. Twice is once; nothing is ever deleted."""

from collections.abc import Callable, Sequence
from pathlib import Path

from commands.checks import check
from commands.client import Api, Refusal
from commands.errors import CommandError
from commands.folder import Item, read_folder
from commands.plan import Change, carry_out, compare, look
from commands.sources import located

Say = Callable[[str], None]


async def apply(api: Api, folder: Path, *, dry_run: bool, say: Say, warn: Say) -> None:
    """Every file is checked before the first change. Raises CommandError with a line `file:line: reason` per fault."""
    items = read_folder(folder)
    server = await look(api)
    for warning in await check(items, set(server.templates)):
        warn(f"warning: {warning}")
    changes = compare(items, server)
    for change in changes:
        for line in change.lines():
            say(line)
    if not dry_run:
        await write(api, changes, warn)
    say(summary(items, changes, dry_run=dry_run))


async def add_missing(api: Api, folder: Path) -> int:
    """What the server has, however it was changed since, stays; how many were added."""
    new = [change for change in compare(read_folder(folder), await look(api)) if change.new]
    await write(api, new, warn=lambda _: None)
    return len(new)


async def write(api: Api, changes: Sequence[Change], warn: Say) -> None:
    """Pass on the server's warnings. Raise CommandError for a refusal, with how many changes were made before: the
    server has rules that this command does not know, as a newer one does."""
    for done, change in enumerate(changes):
        try:
            for warning in await carry_out(api, change):
                warn(f"warning: {change.item.title}: {warning}")
        except Refusal as refusal:
            lines = [located(change.item.sources, fault.pointer, fault.detail) for fault in refusal.faults]
            applied = f"{done} of {len(changes)} changes were made before this one was refused"
            raise CommandError(*(lines or refusal.lines), applied) from None


def summary(items: Sequence[Item], changes: Sequence[Change], *, dry_run: bool) -> str:
    if not changes:
        said = f"all {len(items)} are as the files say" if len(items) > 1 else "it is as the file says"
        return f"Nothing to change: {said}."
    new = sum(change.new for change in changes)
    counts = f"{new} new, {len(changes) - new} changed, {len(items) - len(changes)} as they were."
    return f"Dry run, nothing was changed: {counts}" if dry_run else f"Applied: {counts}"
