"""Read and write `run.json`: the addresses and processes of the running stack, for scripts, benchmarks and tests."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from embedded.files import write_private


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """Hold the content of `run.json`. A pid is None for a part that this stack did not start. There is one metrics URL
    for each worker process.
    """

    api_url: str
    temporal_address: str
    temporal_ui_url: str
    database_url: str = field(repr=False)
    api_key: str = field(repr=False)
    pids: dict[str, int | None]
    worker_metrics_urls: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "RunInfo":
        """Read the file. Raises FileNotFoundError while nothing runs."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))
