"""Limit a rendering child through the kernel, whatever its template does and even if its parent has exited."""

import functools
import os
import resource
import signal

MEMORY_LIMIT = 256 << 20
CPU_SECONDS = 2
WALL_SECONDS = 3
# Memory that a render leaves behind. Beyond it the next render could run out of memory without being the cause.
EXCESS_MEMORY = 64 << 20


class ProcessLimits:
    """Hold the limits, built once at the child's start. `arm` and `disarm` enclose each job."""

    def __init__(self) -> None:
        os.environ.clear()
        self._start_size = address_space()
        if self._start_size:
            _set_hard_limit(resource.RLIMIT_AS, self._start_size + MEMORY_LIMIT)
        _set_hard_limit(resource.RLIMIT_CORE, 0)
        _set_hard_limit(resource.RLIMIT_FSIZE, 0)

    def arm(self) -> None:
        """Start the timers. Both signals kill by default. The parent's deadline is shorter: these apply when it cannot
        act.
        """
        usage = resource.getrusage(resource.RUSAGE_SELF)
        _set_soft_limit(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime) + CPU_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)

    def disarm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    @property
    def has_excess_memory(self) -> bool:
        return address_space() > self._start_size + EXCESS_MEMORY


def address_space() -> int:
    """Return bytes; 0 without /proc (macOS, which does not enforce RLIMIT_AS either)."""
    statistics = _memory_statistics()
    return 0 if statistics is None else int(os.pread(statistics, 64, 0).split()[0]) * resource.getpagesize()


@functools.cache
def _memory_statistics() -> int | None:
    """Open the statistics once: an isolated child cannot open files."""
    try:
        return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _set_hard_limit(resource_id: int, value: int) -> None:
    resource.setrlimit(resource_id, (value, value))


def _set_soft_limit(resource_id: int, value: int) -> None:
    resource.setrlimit(resource_id, (value, resource.getrlimit(resource_id)[1]))
