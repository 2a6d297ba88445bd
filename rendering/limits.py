"""What the kernel enforces on a rendering child, whatever its template does and even if its parent is gone."""

import functools
import os
import resource
import signal

MEMORY = 256 << 20
CPU_SECONDS = 2
WALL_SECONDS = 3
# Memory that a render leaves behind; beyond it the next render could run short through no fault of its own.
LEFTOVER = 64 << 20


class Limits:
    """Built once at the child's start; `arm` and `disarm` enclose each job."""

    def __init__(self) -> None:
        os.environ.clear()
        self._at_start = address_space()
        if self._at_start:
            _lower(resource.RLIMIT_AS, self._at_start + MEMORY)
        _lower(resource.RLIMIT_CORE, 0)
        _lower(resource.RLIMIT_FSIZE, 0)

    def arm(self) -> None:
        """Both signals kill by default. The parent's own clock is shorter: these are for when it cannot act."""
        spent = resource.getrusage(resource.RUSAGE_SELF)
        _soften(resource.RLIMIT_CPU, int(spent.ru_utime + spent.ru_stime) + CPU_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)

    def disarm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    @property
    def worn_out(self) -> bool:
        return address_space() > self._at_start + LEFTOVER


def address_space() -> int:
    """Bytes; 0 where there is no /proc (macOS, which does not enforce RLIMIT_AS either)."""
    statistics = _memory_statistics()
    return 0 if statistics is None else int(os.pread(statistics, 64, 0).split()[0]) * resource.getpagesize()


@functools.cache
def _memory_statistics() -> int | None:
    """A descriptor that stays open: an isolated child opens no file."""
    try:
        return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _lower(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, value))


def _soften(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
