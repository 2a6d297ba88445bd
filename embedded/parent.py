"""The make that started us: if it is killed with -9 it cannot pass anything on, so the kernel tells us instead."""

import ctypes
import os
import signal
import sys
from pathlib import Path

MAKES = ("make", "gmake")
PR_SET_PDEATHSIG = 1


def end_with_make() -> None:
    """SIGTERM for this process when its parent ends, if that is make; whoever starts us in other ways may leave."""
    parent = os.getppid()
    if sys.platform != "linux" or _name(parent) not in MAKES:
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the kernel knew
        os.kill(os.getpid(), signal.SIGTERM)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return ""
