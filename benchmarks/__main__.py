"""`make bench`: measures on servers of its own, prints a table and, as the last line, the ratios as JSON."""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Figures
from benchmarks.finished import FinishedSize, finished_ratios
from benchmarks.profiles import NoProfiler, prepare_profiles
from benchmarks.ratios import ratios, ratios_table
from benchmarks.run import QUICK, Size, Wait, run, run_finished, run_waiting

RESULTS = Path(__file__).resolve().parent / "results"
# Seconds.
AT_MOST = 25 * 60


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, help="default 5; with --quick 1")
    parser.add_argument("--count", type=int, help="notifications per rate, at most 1000; default 200")
    parser.add_argument("--idle", type=int, help="notifications per latency; default 15")
    parser.add_argument("--quick", action="store_true", help="a few notifications, to see that everything works")
    parser.add_argument("--waiting", action="store_true", help="what 1,000 notifications cost that wait, instead")
    parser.add_argument(
        "--finished", type=int, metavar="ROWS", help="5,000 sends behind so many finished ones, instead"
    )
    parser.add_argument("--temporal", default="", metavar="HOST:PORT", help="a Temporal server for this purpose")
    parser.add_argument("--profile", type=Path, metavar="DIR", help="write profiles of worker and API there (py-spy)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory for the JSON")
    return parser.parse_args(given)


def size_of(options: argparse.Namespace) -> Size:
    given = {name: getattr(options, name) for name in ("rounds", "count", "idle")}
    size = replace(QUICK if options.quick else Size(), **{name: value for name, value in given.items() if value})
    return replace(size, count=min(size.count, 1000))


def report(figures: Figures, size: Size | Wait | FinishedSize, temporal: str = "") -> dict[str, Any]:
    judged = {} if isinstance(size, Wait) else {"ratios": _judged(figures, size)}
    return judged | {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "temporal": temporal or "embedded development server",
        "size": asdict(size),
        "units": "rates per second, latencies in seconds, cpu_ms in milliseconds per notification or receipt, other CPU"
        " in cores",
        "figures": figures.summary(),
    }


def _judged(figures: Figures, size: Size | FinishedSize) -> dict[str, float]:
    return finished_ratios(figures) if isinstance(size, FinishedSize) else ratios(figures)


def write(results: Path, what: dict[str, Any]) -> Path:
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(what, indent=2) + "\n")
    return path


async def bench(options: argparse.Namespace) -> str:
    """Print the tables. Return the last line."""
    size: Size | Wait | FinishedSize = Wait() if options.waiting else size_of(options)
    if options.finished:
        size = FinishedSize(rows=options.finished)
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as home:
        async with asyncio.timeout(AT_MOST):
            if isinstance(size, Wait):
                figures = await run_waiting(Path(home), size)
            elif isinstance(size, FinishedSize):
                figures = await run_finished(Path(home), size)
            else:
                figures = await run(Path(home), size, temporal=options.temporal, profiles=options.profile)
    what = report(figures, size, options.temporal)
    print(figures.table())
    if "ratios" in what:
        print(f"\n{ratios_table(what['ratios'])}\n")
    path = write(options.results, what)
    return json.dumps({name: what[name] for name in ("ratios",) if name in what} | {"file": str(path)})


def main(given: list[str]) -> int:
    options = arguments(given)
    try:
        if options.profile:
            prepare_profiles(options.profile)
        print(asyncio.run(bench(options)))
    except NoProfiler as error:
        print(f"make bench: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # A plain exit can abort in the SDK's native threads while the interpreter shuts down.
    os._exit(code)
