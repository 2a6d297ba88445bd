"""Find what a run must not leave behind: personal data in logs or in Temporal's store, memory, files, connections."""

import mmap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from faults.servers import OTHER_TEMPORAL, Servers
from faults.stack_database import StackDatabase
from faults.stack_process import StackProcess
from faults.stack_run import descendants
from faults.type_specs import CANARY, PHONES

CANARIES = (CANARY.encode(), CANARY.capitalize().encode(), PHONES.encode())
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tocsin'"
PROCESSES = ("api", "worker-1", "worker-2")
# Connections that a process keeps on purpose: half of its 40 in the pool, a quarter for hot paths, one that listens,
# and a few to Temporal and vendors.
POOLED_CONNECTIONS = 30
HOT_PATH_CONNECTIONS = 10
MEGABYTE = 1024 * 1024
MEMORY_TOLERANCE = 80  # MB above the memory of a process after its first messages
PAGE = 4096
ESTABLISHED = "01"  # in /proc/PID/net/tcp


def temporal_files(home: Path) -> list[Path]:
    return sorted(path for path in (*home.glob("temporal.db*"), *home.glob(f"{OTHER_TEMPORAL}/**/*")) if path.is_file())


def leaks_in(home: Path) -> list[str]:
    """Return the files that contain an address, a name or a payload."""
    files = [*temporal_files(home), *sorted((home / "logs").glob("*.log"))]
    return [f"{path.name}: {canary.decode()}" for path in files for canary in CANARIES if contains(path, canary)]


def contains(path: Path, word: bytes) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(word) != -1


def finds_no_ids(servers: Servers, ids: Iterable[str]) -> bool:
    """Return whether the search misses ids that must be in Temporal's store."""
    return not any(contains(path, id.encode()) for id in ids for path in temporal_files(servers.home))


@dataclass(frozen=True, kw_only=True)
class ResourceUsage:
    """Hold the memory in MB and open files of each process tree, by name, and the number of all connections."""

    memory: dict[str, float]
    files: dict[str, int]
    connections: int

    def __str__(self) -> str:
        each = ", ".join(f"{name} {self.memory[name]:.0f} MB {self.files[name]} files" for name in self.memory)
        return f"{each}; {self.connections} connections"


async def resource_usage(servers: Servers, stack_database: StackDatabase) -> ResourceUsage:
    processes = [servers.processes[name] for name in PROCESSES]
    return ResourceUsage(
        memory={part.name: sum(_memory(pid) for pid in process_tree(part)) / MEGABYTE for part in processes},
        files={part.name: sum(_files(pid) for pid in process_tree(part)) for part in processes},
        connections=int(await stack_database.one(CONNECTIONS)),
    )


def resource_growth(before: ResourceUsage, after: ResourceUsage) -> list[str]:
    """Return growth beyond what a process keeps on purpose."""
    found = [
        f"{name}: {before.memory[name]:.0f} -> {megabytes:.0f} MB"
        for name, megabytes in after.memory.items()
        if megabytes > before.memory[name] + MEMORY_TOLERANCE
    ]
    found += [
        f"{name}: {before.files[name]} -> {files} open files"
        for name, files in after.files.items()
        if files > before.files[name] + POOLED_CONNECTIONS + HOT_PATH_CONNECTIONS
    ]
    if after.connections > len(PROCESSES) * (POOLED_CONNECTIONS + 1):
        found.append(f"{before.connections} -> {after.connections} connections")
    return found


def process_tree(part: StackProcess) -> list[int]:
    return [part.process.pid, *descendants(part.process.pid)]


def connections_to(port: int, part: StackProcess) -> int:
    """Count the established connections of a process to a port of this machine."""
    process = Path(f"/proc/{part.process.pid}")
    own = set(_open_files(process))
    sockets = [line.split() for line in (process / "net" / "tcp").read_text().splitlines()[1:]]
    return sum(
        remote.endswith(f":{port:04X}") and state == ESTABLISHED and f"socket:[{inode}]" in own
        for _, _, remote, state, *_, inode in (fields[:10] for fields in sockets)
    )


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time used so far, in user and kernel mode."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / 100


def _memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def _open_files(process: Path) -> Iterator[str]:
    for file in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed in between
            yield str(file.readlink())


def _files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
