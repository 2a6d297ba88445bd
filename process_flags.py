"""What a process asks of the Linux kernel for itself. On other systems these do nothing."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4


def end_with(parent: int) -> None:
    """Let the kernel send SIGTERM to this process when `parent` ends, which may have no time to do so."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the kernel knew
        os.kill(os.getpid(), signal.SIGTERM)


def hide_memory() -> None:
    """Let only root read this process, which holds keys: no core dump, no debugger, no `/proc/<pid>/environ`. Forked
    processes inherit it, programs that are started do not."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)
