"""Test that a command in a fork behaves like a newly started process."""

import pytest

from tests.cli.terminal import TOCSIN, Terminal

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


# A real start takes 2 s of CPU, so the suite has one error of typer and one of ours, and `make faults` more.
@pytest.mark.parametrize(
    "command",
    [
        "nonsense",
        "providers check pigeon",
        *(pytest.param(command, marks=pytest.mark.long) for command in ("send --help", "tail -n 0")),
    ],
)
async def test_streams_and_exit_code_are_the_same(terminal: Terminal, command: str) -> None:
    real = await terminal.run(TOCSIN, *command.split())
    assert real.out or real.err
    assert await terminal.tocsin(*command.split()) == real
    assert await terminal.run("./tocsin", *command.split()) == real


async def test_directory_and_environment_are_those_of_the_caller(terminal: Terminal) -> None:
    none = {"TOCSIN_DATA_DIR": "none"}
    real = await terminal.run(TOCSIN, "tail", **none)
    assert f"no stack is running in {terminal.folder}/none" in real.err
    assert await terminal.tocsin("tail", **none) == real
    assert await terminal.run("./tocsin", "tail", **none) == real
