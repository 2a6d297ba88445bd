"""Measure the CPU time of the processes of a run, from Linux, including running and ended children."""

import os
from collections.abc import Sequence
from pathlib import Path

from embedded.orphan_processes import ProcessRecord

TICKS = os.sysconf("SC_CLK_TCK")
PARENT, USER, CHILDREN_SYSTEM = 1, 11, 14  # fields of /proc/PID/stat after the name: see proc(5)


class NoSuchProcess(Exception):
    """Signal a process without a record, or one that does not run."""


def pid_of(records: Path, name: str) -> int:
    """Return the pid that a supervisor recorded as `name`."""
    path = records / f"{name}.pid"
    record = ProcessRecord.read(path) if path.exists() else None
    if record is None:
        raise NoSuchProcess(name)
    return record.pid


def cpu_seconds(records: Path, name: str) -> float:
    """Return the CPU time of the process recorded as `name`, since its start."""
    pid, stats = pid_of(records, name), _read_stats()
    if pid not in stats:
        raise NoSuchProcess(name)
    return sum(sum(stats[one][USER : CHILDREN_SYSTEM + 1]) for one in _process_tree(pid, stats)) / TICKS


class CpuMeter:
    """Measure the CPU time of some processes from the creation of this object. Processes without a record, such as
    those of an external server, are omitted.
    """

    def __init__(self, records: Path, names: Sequence[str]) -> None:
        self._records = records
        self._before = {name: cpu_seconds(records, name) for name in names if (records / f"{name}.pid").exists()}

    def milliseconds(self, count: int) -> dict[str, float]:
        """Return the CPU time of each process, divided by `count`."""
        return {
            name: (cpu_seconds(self._records, name) - before) * 1000 / count for name, before in self._before.items()
        }


def _read_stats() -> dict[int, list[int]]:
    """Return for each process the numbers after its state. A process that ends during the call is omitted."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        stats[int(path.parent.name)] = [0, *map(int, fields[1:])]
    return stats


def _process_tree(pid: int, stats: dict[int, list[int]]) -> list[int]:
    children = [child for child, fields in stats.items() if fields[PARENT] == pid]
    return [pid, *(below for child in children for below in _process_tree(child, stats))]
