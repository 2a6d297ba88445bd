"""Manage the data directory of a stack, and the lock that lets only one stack use it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import StackError


@dataclass(frozen=True)
class DataDir:
    """Paths below one absolute directory."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> "DataDir":
        return cls(path.expanduser().resolve())

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def records(self) -> Path:
        return self.root / "run"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def run_file(self) -> Path:
        return self.root / "run.json"

    def make(self) -> None:
        """Create missing directories. Restrict permissions only of a directory of its own, never of a home directory or
        /tmp.
        """
        ours = not self.root.exists() or self.lock.exists() or not any(self.root.iterdir())
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            if ours:
                self.root.chmod(0o700)
            for folder in (self.logs, self.records):
                folder.mkdir(exist_ok=True, mode=0o700)
        except PermissionError as error:
            raise StackError(
                f"{self.root} belongs to another user; set TOCSIN_DATA_DIR to a directory of your own"
            ) from error

    @contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Lock the directory for this process. The kernel releases the lock however the process ends."""
        handle = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
                raise StackError(f"make run is already running in {self.root} (pid {holder}); stop it first") from error
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(handle)
