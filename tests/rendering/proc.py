"""Read /proc for the processes that these tests start."""

from pathlib import Path


def text(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def descriptors(pid: int) -> dict[int, str]:
    return {int(entry.name): entry.readlink().as_posix() for entry in Path(f"/proc/{pid}/fd").iterdir()}


def renderers(parent: int) -> set[int]:
    """Return the rendering children of `parent`."""
    pids = {int(entry.name) for entry in Path("/proc").glob("[0-9]*")}
    return {pid for pid in pids if running(pid) and _stat(pid)[1] == str(parent) and "rendering.child" in _command(pid)}


def running(pid: int) -> bool:
    return _stat(pid)[0] not in "ZX"


def cpu_ticks(pid: int) -> int:
    return int(_stat(pid)[11])


def _stat(pid: int) -> list[str]:
    """Return the fields from the state on; the name before it can contain anything."""
    try:
        return text(pid, "stat").rpartition(")")[2].split()
    except OSError:
        return ["X"] + ["0"] * 12


def _command(pid: int) -> str:
    try:
        return text(pid, "cmdline")
    except OSError:
        return ""
