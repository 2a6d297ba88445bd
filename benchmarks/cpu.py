"""CPU time of the processes of a run, as Linux counts it: each with all its children, those that ended included."""

import os
from pathlib import Path

from embedded.orphans import Record

TICKS = os.sysconf("SC_CLK_TCK")
PARENT, USER, CHILDREN_SYSTEM = 1, 11, 14  # fields of /proc/PID/stat behind the name: see proc(5)


class NoSuchProcess(Exception):
    """It has no record, or is not running."""


def cpu_seconds(records: Path, name: str) -> float:
    """Since the start of the process that a supervisor wrote down as `name`."""
    path = records / f"{name}.pid"
    record = Record.read(path) if path.exists() else None
    stats = _stats()
    if record is None or record.pid not in stats:
        raise NoSuchProcess(name)
    return sum(sum(stats[pid][USER : CHILDREN_SYSTEM + 1]) for pid in _family(record.pid, stats)) / TICKS


def _stats() -> dict[int, list[int]]:
    """Per process the numbers behind its state; one that ends meanwhile is left out."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        stats[int(path.parent.name)] = [0, *map(int, fields[1:])]
    return stats


def _family(pid: int, stats: dict[int, list[int]]) -> list[int]:
    children = [child for child, fields in stats.items() if fields[PARENT] == pid]
    return [pid, *(below for child in children for below in _family(child, stats))]
