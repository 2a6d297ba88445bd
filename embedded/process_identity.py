"""Identify the process behind a pid: pids are reused, so no process is signaled by its number alone."""

import os
import subprocess
import sys
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LINUX = sys.platform == "linux"


def identity(pid: int) -> str | None:
    """Return a text that no other process ever has, or None for an ended process or a zombie."""
    if not LINUX:
        started = _read_ps_column(pid, "lstart=")
        return None if _read_ps_column(pid, "stat=").startswith("Z") else started or None
    try:
        # The command's name may contain spaces and brackets; the text after the last bracket does not.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, started = fields[0], fields[19]
    return None if state in "ZX" else f"{BOOT_ID.read_text().strip()}/{started}"


def is_postgres_of(pid: int, data: Path) -> bool:
    """Return whether `pid` is a postmaster of the data directory `data` (absolute, resolved)."""
    argv = command_line_of(pid)
    if not argv or Path(argv[0]).name != "postgres":
        return False
    return _cwd(pid) == data or str(data) in argv


def command_line_of(pid: int) -> list[str]:
    if not LINUX:
        return _read_ps_column(pid, "command=").split()
    try:
        return [part.decode(errors="replace") for part in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _cwd(pid: int) -> Path | None:
    """Return the working directory, which is a postmaster's data directory; None if unreadable (another user's
    process).
    """
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        return None


def _read_ps_column(pid: int, column: str) -> str:
    return subprocess.run(
        ["ps", "-o", column, "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
