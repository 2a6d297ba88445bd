"""Follow the page that leads from `make run` to a new type through real adapters, in a checkout."""

import asyncio
import os
import re
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest

from embedded.orphan_processes import kill_group
from embedded.ports import free_port
from embedded.stack import CHECKOUT
from tests.docs.test_commands import BLOCK, page
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

# Commands that run in the foreground of their own terminal, and their output when they are ready. The mail server
# prints nothing and is ready long before it is needed.
READY = {
    "make run": "Send one yourself:",
    ".venv/bin/python -m aiosmtpd": "",
    ".venv/bin/python -m examples.vendors": "listening on ",
}
# The part of `make run` after .venv exists.
MAKE_RUN = ".venv/bin/python cli.py dev"
START_TIMEOUT = 240
STOP_TIMEOUT = 60
WHAT_A_CLONE_LACKS = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "tests")


@dataclass
class TutorialCheckout:
    """Hold a checkout with terminals. `ports` maps the page's ports to free ones here."""

    folder: Path
    ports: dict[str, int]
    terminals: dict[str, Process] = field(default_factory=dict)
    output: str = ""

    async def run_block(self, block: str) -> None:
        block = re.sub(r"\b(8000|9100|2525)\b", lambda port: str(self.ports[port[0]]), block)
        stays = next((command for command in READY if block.startswith(command)), None)
        if stays is None:
            process = await self._bash("set -euxo pipefail\n" + block, PIPE)
            out, _ = await process.communicate()
            self.output += out.decode()
            assert process.returncode == 0, self.output
        else:
            await self.stop(stays)
            await self._start(stays, block.replace("make run", MAKE_RUN))

    async def _start(self, name: str, block: str) -> None:
        with self.log(name).open("wb") as log:
            process = self.terminals[name] = await self._bash(block, log)

        async def look() -> str:
            assert process.returncode is None, self.shown(name)
            return self.shown(name)

        await eventually(look, lambda shown: READY[name] in shown, START_TIMEOUT)

    async def _bash(self, script: str, out: int | BinaryIO) -> Process:
        """Start bash in its own session, so that all processes of a pipe can be ended."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        others = {f"TOCSIN_{name}_PORT": "0" for name in ("POSTGRES", "TEMPORAL", "TEMPORAL_UI")}
        ports = {"TOCSIN_API_PORT": str(self.ports["8000"]), **others}
        return await asyncio.create_subprocess_exec(
            *("bash", "-c", script),
            stdin=DEVNULL,
            stdout=out,
            stderr=STDOUT,
            cwd=self.folder,
            env={**clean, **ports, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )

    async def stop(self, name: str) -> None:
        """Interrupt like Ctrl-C in its terminal. Kill what does not end by it, as where SIGINT is ignored."""
        process = self.terminals.pop(name, None)
        if process is None or process.returncode is not None:
            return
        os.killpg(process.pid, signal.SIGINT)
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await process.wait()
        finally:
            kill_group(process.pid)

    def log(self, name: str) -> Path:
        return self.folder / f"terminal-{list(READY).index(name)}.txt"

    def shown(self, name: str) -> str:
        return self.log(name).read_text()


@pytest.fixture
async def checkout(tmp_path: Path) -> AsyncIterator[TutorialCheckout]:
    folder = tmp_path / "tocsin"
    shutil.copytree(CHECKOUT, folder, ignore=WHAT_A_CLONE_LACKS)
    (folder / ".venv").symlink_to(CHECKOUT / ".venv")
    checkout = TutorialCheckout(folder, {port: free_port() for port in ("8000", "9100", "2525")})
    yield checkout
    for name in list(checkout.terminals):
        await checkout.stop(name)


async def test_the_page_creates_a_type_and_sends_it_through_every_adapter(checkout: TutorialCheckout) -> None:
    for block in BLOCK.findall(page("first-type")):
        await checkout.run_block(block)
    became = re.findall(r"^  (\w+) +([A-Z]+) +(\w+) +parking-ticket v1 en  1 attempt$", checkout.output, re.MULTILINE)
    assert became == [
        ("email", "SENT", "smtp"),
        ("sms", "DELIVERED", "twilio"),
        ("push", "SENT", "fcm"),
        ("email", "DELIVERED", "sendgrid"),
    ]
    stack, mail, vendors = map(checkout.shown, READY)
    assert "To: otto@example.com" in mail
    assert "Dear Otto" in mail
    assert '"Body": "Parking ticket for W-123 AB, Ring Road 1: £35."' in vendors
    assert '"token": "ottos-phone"' in vendors
    assert '"subject": "A parking ticket for W-9"' in vendors
    assert "Email is sent by sendgrid, so no demo was sent." in stack
