"""What `tocsin encryption` shows and does."""

from collections.abc import Callable

from commands.direct import open_database
from commands.errors import CommandError
from config import Settings
from config_sources import WrongSettings
from storage.encrypted_tables import TABLES, renew_table, secrets_by_key
from storage.encryption import DecryptionError
from storage.encryption_keys import confirm_keys, retire_keys

PASSES = 3  # what other processes write by a former key during a pass is found by the next one


async def status(settings: Settings) -> list[str]:
    async with open_database(settings) as database:
        current = database.encryption.key_id
        lines = [f"current key: {current}"]
        for table in TABLES:
            counts = await secrets_by_key(database, table)
            shown = [f"{count} {_name(id)}" for id, count in sorted(counts.items(), key=lambda pair: pair[0] or "")]
            lines.append(f"{table.name:<16} {', '.join(shown) or 'no secrets'}")
    return lines


def _name(id: str | None) -> str:
    return "not encrypted" if id is None else f"by {id}"


async def rotate(settings: Settings, say: Callable[[str], None]) -> str:
    """Raise CommandError if a secret needs a key that is not in the settings; nothing is lost then."""
    async with open_database(settings) as database:
        left = {"unknown"}
        try:
            await confirm_keys(database)
            for _ in range(PASSES):
                for table in TABLES:
                    progress = _Progress(table.name, say)
                    await renew_table(database, table, progress.add)
                if not (left := await retire_keys(database)):
                    break
        except (DecryptionError, WrongSettings) as error:
            raise CommandError(str(error)) from None
        if left:
            raise CommandError(f"processes still encrypt by {', '.join(left)}; restart them with the new setting first")
        return f"all secrets are encrypted by {database.encryption.key_id}; other keys may be removed"


class _Progress:
    def __init__(self, table: str, say: Callable[[str], None]) -> None:
        self._table, self._say, self._rows = table, say, 0

    def add(self, rows: int) -> None:
        self._rows += rows
        self._say(f"{self._table}: {self._rows} rows")
