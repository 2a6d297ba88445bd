"""Test `tocsin encryption`: which keys are in use, and the rotation with its errors."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from commands.encryption_rotation import rotate_secrets, status_lines
from commands.errors import CommandError
from config import Settings
from storage.database import Database
from storage.encryption import Encryption
from tests.cli.terminal import Terminal
from tests.production import KEYS
from tests.storage.databases import own_database
from tests.storage.encrypted_rows import fill

pytestmark = pytest.mark.postgres

NEW_KEY = "k2:" + KEYS["lookup_key"][::-1]


@pytest.fixture
async def url(database_url: str) -> AsyncIterator[str]:
    async with own_database(database_url) as own:
        yield own.url


def settings(url: str, keys: str) -> Settings:
    return Settings(
        env="dev",
        database_url=url,
        encryption_keys=SecretStr(keys),
        lookup_key=SecretStr(KEYS["lookup_key"]),
        _env_file=None,
    )


async def test_a_rotation_prints_its_progress_and_remaining_keys(url: str) -> None:
    before = settings(url, KEYS["encryption_keys"])
    database = Database(url, encryption=Encryption.from_settings(before))
    await fill(database)
    await database.close()
    assert (
        await rotate_secrets(before, lambda line: None)
        == "all secrets are encrypted with k1; other keys can be removed"
    )
    with pytest.raises(CommandError, match="lacks the key 'k1'"):
        await rotate_secrets(settings(url, NEW_KEY), lambda line: None)
    both = settings(url, f"{NEW_KEY},{KEYS['encryption_keys']}")
    assert (await status_lines(both))[:2] == ["current key: k2", "device           2 by k1"]
    lines: list[str] = []
    assert await rotate_secrets(both, lines.append) == "all secrets are encrypted with k2; other keys can be removed"
    assert lines == [
        "device: 2 rows",
        "recipient: 1 rows",
        "event_endpoint: 1 rows",
        "sandbox_message: 1 rows",
        "chat_room: 1 rows",
    ]
    assert (await status_lines(settings(url, NEW_KEY)))[1:] == [
        "device           2 by k2",
        "recipient        2 by k2",
        "event_endpoint   3 by k2",
        "sandbox_message  1 by k2",
        "chat_room        1 by k2",
    ]


async def test_the_status_is_printed_with_a_running_stack(terminal: Terminal) -> None:
    (terminal.folder / ".tocsin" / "encryption_keys").write_text(f"{NEW_KEY}\n")
    lines = await terminal.tocsin("encryption", "status")
    assert (lines.code, lines.out.splitlines()[0]) == (0, "current key: k2")
