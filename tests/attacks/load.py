"""Measure the machine's CPU use by other processes during an attack."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from faults.stack_run import descendants

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class CpuLoad:
    """Hold CPU seconds since the start of the machine or the processes, and the time of the measurement."""

    machine: float
    own: float
    at: float

    @classmethod
    def measured(cls, target: int) -> "CpuLoad":
        """Measure now. `own` includes the target, its children and this process, which attacks it."""
        return cls(machine=_machine(), own=time.process_time() + _tree(target), at=time.monotonic())

    def foreign_share_since(self, earlier: "CpuLoad") -> float:
        """Return the share of all cores that other processes used, 0 to 1."""
        used = self.machine - earlier.machine - (self.own - earlier.own)
        return used / (self.at - earlier.at) / (os.cpu_count() or 1)


def _machine() -> float:
    user, nice, system, _, _, interrupt, soft, steal, *_ = Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    return sum(map(int, (user, nice, system, interrupt, soft, steal))) / TICKS


def _tree(pid: int) -> float:
    return sum(map(_cpu, (pid, *descendants(pid))))


def _cpu(pid: int) -> float:
    """Return the CPU time, including ended children."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS
