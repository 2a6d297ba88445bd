"""A terminal in a folder of its own, beside a running stack: `./tocsin` there finds it as it finds `make run`."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass
from pathlib import Path

from embedded.runfile import RunInfo
from embedded.stack import CHECKOUT
from tests.engine import Shop


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Terminal:
    folder: Path

    async def tocsin(self, *arguments: str, **environment: str) -> Said:
        return await self.run("./tocsin", *arguments, **environment)

    async def ok(self, *arguments: str) -> str:
        said = await self.tocsin(*arguments)
        assert said.code == 0, f"{said.out}\n{said.err}"
        return said.out

    async def start(self, *command: str, **environment: str) -> Process:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=self.folder,
            env={**clean, "COLUMNS": "200", **environment},
        )

    async def run(self, *command: str, **environment: str) -> Said:
        process = await self.start(*command, **environment)
        out, err = await process.communicate()
        return Said(process.returncode or 0, out.decode(), err.decode())

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


def open_terminal(folder: Path, shop: Shop) -> Terminal:
    """With the checkout's files in reach, and a run.json and key as `make run` leaves them."""
    for name in ("tocsin", "examples", ".venv"):
        (folder / name).symlink_to(CHECKOUT / name)
    data = folder / ".tocsin"
    data.mkdir()
    engine = shop.engine
    RunInfo(
        api_url=engine.api_url,
        temporal_address=engine.temporal_address,
        temporal_ui_url="",
        database_url=engine.parts.settings.database_url,
        api_key=shop.key,
        pids={},
    ).write(data / "run.json")
    (data / "api_key").write_text(shop.key + "\n")
    return Terminal(folder)
