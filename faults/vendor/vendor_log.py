"""Write and read the vendor log: every call and every accepted message, by attempt id.

It is a line of JSON each, written to disk at once, so that it survives every kill.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class VendorLog:
    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def call(self, provider: str, reference: str, mode: str) -> None:
        self._write(kind="call", provider=provider, reference=reference, mode=mode)

    def kept(self, provider: str, reference: str, message_id: str, to: str) -> None:
        self._write(kind="kept", provider=provider, reference=reference, message_id=message_id, to=to)

    def looked_up(self, provider: str, status: int) -> None:
        """Log a lookup."""
        self._write(kind="lookup", provider=provider, status=status)

    def receipt(self, provider: str, reference: str, event: str, status: int) -> None:
        """Log a posted receipt with the status of its response."""
        self._write(kind="receipt", provider=provider, reference=reference, event=event, status=status)

    def _write(self, **entry: Any) -> None:
        self._file.write(json.dumps({"at": time.time(), **entry}) + "\n")


@dataclass
class VendorLogReader:
    """Hold the entries read so far. `refresh` reads new ones."""

    path: Path
    entries: list[Entry] = field(default_factory=list)
    _seen: int = 0

    def refresh(self) -> Sequence[Entry]:
        """Read new entries. An incomplete line is left for the next call."""
        with self.path.open("rb") as file:
            file.seek(self._seen)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._seen += len(whole + newline)
        self.entries += [json.loads(line) for line in whole.splitlines()]
        return self.entries

    def of(self, kind: str, provider: str | None = None) -> list[Entry]:
        return [
            entry
            for entry in self.refresh()
            if entry["kind"] == kind and (provider is None or entry["provider"] == provider)
        ]
