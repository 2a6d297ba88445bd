"""Run one child from the parent's side: bytes in, bytes out, a deadline, and a reliable kill."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import cast

from rendering.wire import HEADER, RESULT_LIMIT

ROOT = Path(__file__).parent.parent
# -E and -s: neither PYTHON* variables nor a user's own packages reach the child.
COMMAND = (sys.executable, "-E", "-s", "-m", "rendering.child")


class ChildProcess(asyncio.SubprocessProtocol):
    """Hold one child. `exited` is done when the process has ended and been reaped."""

    def __init__(self) -> None:
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._payload: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._received = bytearray()
        self._transport: asyncio.SubprocessTransport | None = None

    @classmethod
    async def start(cls) -> "ChildProcess":
        """Start it with an empty environment, without secrets, and in its own session, without Ctrl-C."""
        _, process = await asyncio.get_running_loop().subprocess_exec(
            cls, *COMMAND, cwd=ROOT, env={}, stdin=-1, stdout=-1, stderr=None, start_new_session=True
        )
        return process

    @property
    def pid(self) -> int:
        return cast(asyncio.SubprocessTransport, self._transport).get_pid()

    async def run_job(self, job: bytes, seconds: float) -> bytes | None:
        """Return the result, or None if the child died. Raises TimeoutError. One job at a time."""
        self._payload = asyncio.get_running_loop().create_future()
        if self.exited.done():
            return None
        stdin = cast(asyncio.SubprocessTransport, self._transport).get_pipe_transport(0)
        cast(asyncio.WriteTransport, stdin).write(job)
        return await self.read(seconds)

    async def read(self, seconds: float) -> bytes | None:
        # `wait` and not `timeout`: a result that arrived while this loop was busy counts, late or not.
        done, _ = await asyncio.wait({self._payload}, timeout=seconds)
        if not done:
            raise TimeoutError
        return self._payload.result()

    def cpu_seconds(self) -> float | None:
        """Return the CPU time used so far, in steps of 10 ms; None without /proc."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError):
                cast(asyncio.SubprocessTransport, self._transport).kill()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        self._received += cast(bytes, data)
        if len(self._received) < HEADER:
            return
        size = int.from_bytes(self._received[:HEADER], "big")
        if size > RESULT_LIMIT or self._payload.done():
            self.kill()  # the process no longer runs Tocsin's code
        elif len(self._received) >= HEADER + size:
            payload = bytes(self._received[HEADER : HEADER + size])
            del self._received[: HEADER + size]
            self._payload.set_result(payload)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self._resolve_empty()

    def connection_lost(self, exc: Exception | None) -> None:
        self._resolve_empty()
        cast(asyncio.SubprocessTransport, self._transport).close()
        if not self.exited.done():
            self.exited.set_result(None)

    def _resolve_empty(self) -> None:
        if not self._payload.done():
            self._payload.set_result(None)
