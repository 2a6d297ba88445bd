"""The make that started us: if it is killed with -9 it cannot pass anything on, so the kernel tells us instead."""

import os
from pathlib import Path

from process_flags import end_with_parent

MAKE_PROGRAMS = ("make", "gmake")


def end_with_make() -> None:
    """SIGTERM for this process when its parent ends, if that is make; whoever starts us in other ways may leave."""
    parent = os.getppid()
    if _name(parent) in MAKE_PROGRAMS:
        end_with_parent(parent)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:  # also where there is no /proc
        return ""
