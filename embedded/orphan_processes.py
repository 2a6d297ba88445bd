"""Stop processes of an earlier `make run` that was killed with -9, by the records it left."""

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from embedded.files import write_private
from embedded.process_identity import identity

POLL_INTERVAL = 0.02


@dataclass(frozen=True)
class ProcessRecord:
    """Describe one started process, recorded in `run/NAME.pid`."""

    pid: int
    identity: str
    stop_signal: int
    grace: float

    @classmethod
    def read(cls, path: Path) -> "ProcessRecord | None":
        """Read a record. Return None for a truncated one."""
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        write_private(path, json.dumps(asdict(self)))


async def stop_orphan_processes(records: Path, order: Sequence[str]) -> list[str]:
    """Stop the processes of earlier records, in `order`. Return the names of those that still ran."""
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
    """Stop a process: signal it, wait `grace` seconds, then kill it and its group. False if it has ended already."""
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
    """Kill the rest of the process group of `leader`, which opened it with its session."""
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
