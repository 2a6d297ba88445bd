"""Test what all commands share: errors of one line, the stack that is found, the help, and the imports."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cli import app
from commands.local_stack import find_running_stack, not_running_error
from config import ClientSettings
from embedded.runfile import RunInfo
from tests.cli.terminal import TOCSIN, Terminal, one_line

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def test_errors_are_one_line(terminal: Terminal, hello: None) -> None:
    line = await one_line(await terminal.run(TOCSIN, "send", "nonsense", "ada"))
    assert line.startswith("tocsin: notification_type 'nonsense': ")
    line = await one_line(await terminal.tocsin("send", "hello", "ada", "--payload", "{"))
    assert line.startswith("tocsin: --payload is not JSON")
    line = await one_line(await terminal.tocsin("send", "hello", "ada", "--payload", "@nowhere.json"))
    assert "nowhere.json" in line
    line = await one_line(await terminal.tocsin("show", "0199aaaa-0000-7000-8000-000000000000"))
    assert line == "tocsin: GET /notifications/0199aaaa-0000-7000-8000-000000000000: There is no such notification."
    line = await one_line(await terminal.tocsin("tail", TOCSIN_API_KEY="tk_wrong"))
    assert "The API key is unknown or revoked." in line
    line = await one_line(await terminal.tocsin("tail", TOCSIN_API_URL="http://127.0.0.1:1", TOCSIN_API_KEY="k"))
    assert line == "tocsin: http://127.0.0.1:1/api/v1/ is unreachable (ConnectError)"
    line = await one_line(
        await terminal.tocsin("keys", "create", "--tenant", "t", "--name", "n", "--scope", "everything")
    )
    assert line == "tocsin: unknown scope everything; choose from send, read, manage, operate"


async def test_the_key_of_the_stack_here_goes_to_no_other_url(terminal: Terminal) -> None:
    line = await one_line(await terminal.tocsin("tail", TOCSIN_API_URL="http://127.0.0.1:1"))
    assert line == "tocsin: set TOCSIN_API_KEY to a key of that API; 'tocsin keys create' creates one"


async def test_an_error_without_a_running_stack_names_the_fix(terminal: Terminal, tmp_path: Path) -> None:
    line = await one_line(await terminal.tocsin("tail", TOCSIN_DATA_DIR=str(tmp_path / "none")))
    assert line.startswith(f"tocsin: no stack is running in {tmp_path}/none; start it with 'make run'")


async def test_from_another_directory_the_stack_of_the_checkout_is_found(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr("commands.local_stack.CHECKOUT", terminal.folder)
    found = find_running_stack(ClientSettings(_env_file=None))
    assert found == RunInfo.read(terminal.folder / ".tocsin" / "run.json")
    assert find_running_stack(ClientSettings(_env_file=None, data_dir=Path("none"))) is None
    named = str(not_running_error(ClientSettings(_env_file=None)))
    assert named.startswith(f"no stack is running in {elsewhere}/.tocsin or {terminal.folder}/.tocsin; start it")


def list_commands(command: Any) -> Iterator[Any]:
    yield command
    for child in getattr(command, "commands", {}).values():
        yield from list_commands(child)


def test_every_value_in_the_help_of_a_command_has_a_name_in_capitals() -> None:
    parameters = [one for command in list_commands(typer.main.get_command(app)) for one in command.params]
    values = [one for one in parameters if not getattr(one, "is_flag", False)]
    assert len(values) > 30
    assert [one.name for one in values if not re.fullmatch("[A-Z]+", one.metavar or "")] == []


def test_commands_of_the_api_load_no_library_of_the_servers() -> None:
    """Importing one of these libraries takes as long as all other imports of such a command."""
    code = "import sys, cli; print(*{'alembic', 'fastapi', 'sqlalchemy', 'temporalio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
