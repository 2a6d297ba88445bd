"""Set flags of the own process: of the kernel, which do nothing without its support, and of the garbage collector."""

import ctypes
import gc
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
MAKE_PROGRAMS = ("make", "gmake")


def end_with_parent(parent: int) -> None:
    """Let the kernel send SIGTERM to this process when `parent` ends, because a killed parent cannot do so."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent ended before prctl
        os.kill(os.getpid(), signal.SIGTERM)


def end_with_make() -> None:
    """End with the parent if that is make: a killed make cannot forward a signal. Other parents may end."""
    parent = os.getppid()
    try:
        name = Path(f"/proc/{parent}/comm").read_text().strip()
    except FileNotFoundError:  # also without /proc
        return
    if name in MAKE_PROGRAMS:
        end_with_parent(parent)


def hide_memory() -> None:
    """Let only root read this process, which holds keys: no core dump, no debugger, no `/proc/<pid>/environ`. Forked
    processes inherit this; executed programs do not."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)


def raise_open_file_limit(number: int) -> int:
    """Raise the limit of open files to `number` as far as the system allows it. Return the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < number:
        soft = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return number if soft == resource.RLIM_INFINITY else soft


def release_free_memory() -> None:
    """Return free memory of the allocator's heap to the system. By itself, glibc only returns memory at the end of the
    heap."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def freeze_loaded_objects() -> None:
    """Exempt loaded objects from garbage collection, which takes 0.1 s and more for all of them."""
    gc.collect()
    gc.freeze()
