"""`make bench`: measures on servers of its own, prints a table and, as the last line, where the figures lie as JSON."""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Figures
from benchmarks.run import Size, Wait, run, run_waiting

RESULTS = Path(__file__).resolve().parent / "results"
AT_MOST = 15 * 60


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=Size.rounds)
    parser.add_argument("--count", type=int, default=Size.count, help="notifications per rate, at most 1000")
    parser.add_argument("--idle", type=int, default=Size.idle, help="notifications per latency")
    parser.add_argument("--waiting", action="store_true", help="what 1,000 notifications cost that wait, instead")
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory for the JSON")
    return parser.parse_args(given)


def report(figures: Figures, size: Size | Wait) -> dict[str, Any]:
    return {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "size": vars(size),
        "units": "rates per second, latencies in seconds, CPU in cores",
        "figures": figures.summary(),
    }


def write(results: Path, what: dict[str, Any]) -> Path:
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(what, indent=2) + "\n")
    return path


async def bench(options: argparse.Namespace) -> Path:
    size = Size(rounds=options.rounds, count=min(options.count, 1000), idle=options.idle)
    wait = Wait()
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as home:
        async with asyncio.timeout(AT_MOST):
            if options.waiting:
                figures = await run_waiting(Path(home), wait)
            else:
                figures = await run(Path(home), size)
    print(figures.table())
    return write(options.results, report(figures, wait if options.waiting else size))


if __name__ == "__main__":
    print(asyncio.run(bench(arguments(sys.argv[1:]))))
    sys.stdout.flush()
    # A plain exit can abort in the SDK's native threads while the interpreter shuts down.
    os._exit(0)
