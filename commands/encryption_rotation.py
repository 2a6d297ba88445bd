"""Count encrypted secrets by key, and re-encrypt them. Used by `tocsin encryption`."""

from collections.abc import Callable

from commands.database import open_database
from commands.errors import CommandError
from config import Settings
from config.sources import InvalidSettings
from storage.encryption import DecryptionError
from storage.encryption_keys import (
    TABLES,
    EncryptionKeysLocked,
    count_secrets_by_key,
    reencrypt_table,
    retire_keys,
    verify_keys,
)

MAX_PASSES = 3  # a further pass finds secrets that other processes wrote with a former key during a pass


async def status_lines(settings: Settings) -> list[str]:
    async with open_database(settings) as database:
        current = database.encryption.key_id
        lines = [f"current key: {current}"]
        for table in TABLES:
            counts = await count_secrets_by_key(database, table)
            shown = [
                f"{count} {_key_label(id)}" for id, count in sorted(counts.items(), key=lambda pair: pair[0] or "")
            ]
            lines.append(f"{table.name:<16} {', '.join(shown) or 'no secrets'}")
    return lines


def _key_label(id: str | None) -> str:
    return "not encrypted" if id is None else f"by {id}"


async def rotate_secrets(settings: Settings, print_line: Callable[[str], None]) -> str:
    """Re-encrypt all secrets. Raise CommandError if a secret needs a key that is not set; no secret is lost then."""
    async with open_database(settings) as database:
        left = {"unknown"}
        try:
            await verify_keys(database)
            for _ in range(MAX_PASSES):
                for table in TABLES:
                    progress = _RotationProgress(table.name, print_line)
                    await reencrypt_table(database, table, progress.add)
                if not (left := await retire_keys(database)):
                    break
        except (DecryptionError, EncryptionKeysLocked, InvalidSettings) as error:
            raise CommandError(str(error)) from None
        if left:
            raise CommandError(
                f"processes still encrypt with {', '.join(left)}; restart them with the new setting first"
            )
        return f"all secrets are encrypted with {database.encryption.key_id}; other keys can be removed"


class _RotationProgress:
    def __init__(self, table: str, print_line: Callable[[str], None]) -> None:
        self._table, self._print_line, self._rows = table, print_line, 0

    def add(self, rows: int) -> None:
        self._rows += rows
        self._print_line(f"{self._table}: {self._rows} rows")
