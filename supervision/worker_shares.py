"""How many worker processes a machine has, and the share of each in the limits of the machine. Used by `worker.py` and
the embedded stack."""

import math
import os
import sys
from pathlib import Path

from config import MIN_CONNECTIONS_PER_WORKER, MIN_SLOTS, Settings

CPU_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")
# Of each process, by default. One less than that of a single process: measured on two cores that also ran Postgres and
# Temporal, the bulk rate is the same and urgent notifications wait less (decision 0014).
SLOTS_OF_SEVERAL = 3


def available_cores() -> int:
    """Return how many cores this process may use: by its affinity, and by the CPU quota of its container."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA_FILE.read_text().split()
    except (FileNotFoundError, PermissionError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, math.ceil(int(quota) / int(period))))


def worker_count(settings: Settings) -> int:
    """Return the number of worker processes: as set, or one per core as far as the connections suffice."""
    return settings.workers or min(available_cores(), settings.database_pool // MIN_CONNECTIONS_PER_WORKER)


def settings_of_one_worker(settings: Settings, workers: int) -> Settings:
    """Return the settings of one of `workers` processes, with its share of the common limits."""
    share = {
        "workers": 1,
        "database_pool": settings.database_pool // workers,
        "slots": _share_slots(settings.slots, workers),
        "start_rate": settings.start_rate / workers,
    }
    return settings.model_copy(update=share)


def _share_slots(slots: int, workers: int) -> int:
    """Return the slots of one of `workers` processes; 0 stands for the default of a process that runs alone."""
    if slots:
        return max(slots // workers, MIN_SLOTS)
    return SLOTS_OF_SEVERAL if workers > 1 else 0
