"""Run commands in a separate folder. `./tocsin` finds a running stack there, as it finds that of `make run`.

A newly started command spends most of its time on imports. So commands run in forks, unless a test is about the start.
"""

import asyncio
import os
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedded.runfile import RunInfo
from embedded.stack import CHECKOUT
from tests.api_tenants import ApiTenant
from tests.cli.fork_client import run_in_fork, write_launcher

TOCSIN = str(CHECKOUT / "tocsin")


@dataclass(frozen=True)
class CommandResult:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Terminal:
    """`forks` is the socket of the fork server."""

    folder: Path
    forks: Path

    async def tocsin(self, *arguments: str, **environment: str) -> CommandResult:
        return await asyncio.to_thread(self._fork, arguments, environment)

    async def ok(self, *arguments: str) -> str:
        result = await self.tocsin(*arguments)
        assert result.code == 0, f"{result.out}\n{result.err}"
        return result.out

    def _fork(self, arguments: Sequence[str], environment: Mapping[str, str]) -> CommandResult:
        with open(os.devnull) as nothing, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            streams = [file.fileno() for file in (nothing, out, err)]
            code = run_in_fork(str(self.forks), arguments, str(self.folder), _clean_environment(environment), streams)
            out.seek(0)
            err.seek(0)
            return CommandResult(code, out.read().decode(), err.read().decode())

    async def start(self, *command: str, **environment: str) -> Process:
        return await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd=self.folder, env=_clean_environment(environment)
        )

    async def run(self, *command: str, **environment: str) -> CommandResult:
        process = await self.start(*command, **environment)
        out, err = await process.communicate()
        return CommandResult(process.returncode or 0, out.decode(), err.decode())

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


def _clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    return {**clean, "COLUMNS": "200", **environment}


def open_terminal(folder: Path, api_tenant: ApiTenant, forks: Path) -> Terminal:
    """Open a terminal with the files of the checkout in reach, and a run.json and key like those of `make run`.
    `./tocsin` calls the fork server; `TOCSIN` is the real command."""
    for name in ("examples", ".venv"):
        (folder / name).symlink_to(CHECKOUT / name)
    write_launcher(folder / "tocsin", forks)
    data = folder / ".tocsin"
    data.mkdir()
    engine = api_tenant.engine
    RunInfo(
        api_url=engine.api_url,
        temporal_address=engine.temporal_address,
        temporal_ui_url="",
        database_url=engine.container.settings.database_url,
        api_key=api_tenant.key,
        pids={},
    ).write(data / "run.json")
    (data / "api_key").write_text(api_tenant.key + "\n")
    return Terminal(folder, forks)


async def one_line(result: CommandResult) -> str:
    assert result.code == 1
    assert result.out == ""
    [line] = result.err.splitlines()
    return line
