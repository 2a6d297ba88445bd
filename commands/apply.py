"""Apply a folder of types and templates to a server: `tocsin apply`. Idempotent. Deletes nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path

from commands.apply_plan import PlannedChange, apply_change, plan_changes, read_server_resources
from commands.client import ApiClient, ApiError
from commands.errors import CommandError
from commands.file_positions import locate_message
from commands.folder import FolderItem, read_folder
from commands.folder_checks import check_items

PrintLine = Callable[[str], None]


async def apply(
    api: ApiClient, folder: Path, *, dry_run: bool, print_line: PrintLine, print_warning: PrintLine
) -> None:
    """Check every file before the first change. Raise CommandError with a line `file:line: reason` for each issue."""
    items = read_folder(folder)
    server = await read_server_resources(api)
    for warning in await check_items(items, set(server.templates)):
        print_warning(f"warning: {warning}")
    changes = plan_changes(items, server)
    for change in changes:
        for line in change.lines():
            print_line(line)
    if not dry_run:
        await write_changes(api, changes, print_warning)
    print_line(summary_of(items, changes, dry_run=dry_run))


async def add_missing(api: ApiClient, folder: Path) -> int:
    """Add what the server does not have and leave the rest unchanged. Return the number of additions."""
    new = [change for change in plan_changes(read_folder(folder), await read_server_resources(api)) if change.new]
    await write_changes(api, new, print_warning=lambda _: None)
    return len(new)


async def write_changes(api: ApiClient, changes: Sequence[PlannedChange], print_warning: PrintLine) -> None:
    """Write the changes and print the server's warnings. Raise CommandError for a rejection, with the number of changes
    made before. A newer server can have rules that this command does not check."""
    for done, change in enumerate(changes):
        try:
            for warning in await apply_change(api, change):
                print_warning(f"warning: {change.item.title}: {warning}")
        except ApiError as error:
            lines = [locate_message(change.item.sources, issue.pointer, issue.detail) for issue in error.issues]
            applied = f"{done} of {len(changes)} changes were made before this one was rejected"
            raise CommandError(*(lines or error.lines), applied) from None


def summary_of(items: Sequence[FolderItem], changes: Sequence[PlannedChange], *, dry_run: bool) -> str:
    if not changes:
        unchanged = f"all {len(items)} match the files" if len(items) > 1 else "it matches the file"
        return f"Nothing to change: {unchanged}."
    new = sum(change.new for change in changes)
    counts = f"{new} new, {len(changes) - new} changed, {len(items) - len(changes)} unchanged."
    return f"Dry run, nothing was changed: {counts}" if dry_run else f"Applied: {counts}"
