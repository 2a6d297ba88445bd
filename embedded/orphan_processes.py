"""Processes of an earlier `make run` that was killed with -9: found by the records it left, and stopped."""

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from embedded.files import write_private
from embedded.identity import identity

POLL_INTERVAL = 0.02


@dataclass(frozen=True)
class ProcessRecord:
    """One process we started, written to `run/NAME.pid`."""

    pid: int
    identity: str
    stop_signal: int
    grace: float

    @classmethod
    def read(cls, path: Path) -> "ProcessRecord | None":
        """None for a record that was cut short."""
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        write_private(path, json.dumps(asdict(self)))


async def stop_orphan_processes(records: Path, order: Sequence[str]) -> list[str]:
    """Stops what earlier records name, in `order`; returns the names of those that still ran."""
    stopped = []
    for name in order:
        path = records / f"{name}.pid"
        if not path.exists():
            continue
        record = ProcessRecord.read(path)
        if record and await stop_recorded_process(record):
            stopped.append(name)
        path.unlink(missing_ok=True)
    return stopped


async def stop_recorded_process(record: ProcessRecord) -> bool:
    """Asks, waits for `grace` seconds, then kills the process and its group; False if it is gone already."""
    if identity(record.pid) != record.identity:
        return False
    leads_group = _leads_group(record.pid)
    _send_signal(record.pid, record.stop_signal)
    if not await _wait_until_gone(record, record.grace):
        _send_signal(record.pid, signal.SIGKILL)
        await _wait_until_gone(record, record.grace)
    if leads_group:
        kill_group(record.pid)
    return True


def kill_group(leader: int) -> None:
    """Kills what is left of the process group that `leader` opened with its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


async def _wait_until_gone(record: ProcessRecord, within: float) -> bool:
    deadline = asyncio.get_running_loop().time() + within
    while identity(record.pid) == record.identity:
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(POLL_INTERVAL)
    return True


def _send_signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _leads_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False
