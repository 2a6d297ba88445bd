"""End with the parent `make`: if make is killed with -9, it cannot forward a signal, so the kernel sends one."""

import os
from pathlib import Path

from process_flags import end_with_parent

MAKE_PROGRAMS = ("make", "gmake")


def end_with_make() -> None:
    """Request SIGTERM for this process when its parent ends, if that is make. Other parents may end."""
    parent = os.getppid()
    if _name(parent) in MAKE_PROGRAMS:
        end_with_parent(parent)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:  # also without /proc
        return ""
