"""Run `make bench`: measure on servers of its own, print a table and, as the last line, the ratios as JSON."""

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
from benchmarks.finished import FinishedSize, compute_finished_ratios
from benchmarks.profiles import ProfilerNotFound, prepare_profiles
from benchmarks.ratios import compute_ratios, format_ratios
from benchmarks.run import QUICK_SIZE, RunSize, WaitingSize, run, run_finished, run_waiting

RESULTS = Path(__file__).resolve().parent / "results"
# Seconds.
TIME_LIMIT = 25 * 60


def arguments(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, help="default 5; with --quick 1")
    parser.add_argument("--count", type=int, help="notifications per rate, at most 1000; default 200")
    parser.add_argument("--idle", type=int, help="notifications per latency; default 15")
    parser.add_argument("--quick", action="store_true", help="a few notifications, to check that everything works")
    parser.add_argument("--waiting", action="store_true", help="measure 1,000 waiting notifications instead")
    parser.add_argument(
        "--finished", type=int, metavar="ROWS", help="measure 5,000 sends after this many finished ones instead"
    )
    parser.add_argument(
        "--temporal",
        default="",
        metavar="HOST:PORT",
        help="address of a Temporal server to use instead of the run's own",
    )
    parser.add_argument(
        "--profile", type=Path, metavar="DIR", help="write py-spy profiles of worker and API to this directory"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory for the JSON results")
    return parser.parse_args(args)


def parse_size(options: argparse.Namespace) -> RunSize:
    args = {name: getattr(options, name) for name in ("rounds", "count", "idle")}
    size = replace(QUICK_SIZE if options.quick else RunSize(), **{name: value for name, value in args.items() if value})
    return replace(size, count=min(size.count, 1000))


def build_report(figures: Figures, size: RunSize | WaitingSize | FinishedSize, temporal: str = "") -> dict[str, Any]:
    ratio_fields = {} if isinstance(size, WaitingSize) else {"ratios": _compute_ratios(figures, size)}
    return ratio_fields | {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "temporal": temporal or "embedded development server",
        "size": asdict(size),
        "units": "rates per second, latencies in seconds, cpu_ms in milliseconds per notification or receipt, other CPU"
        " in cores",
        "figures": figures.summary(),
    }


def _compute_ratios(figures: Figures, size: RunSize | FinishedSize) -> dict[str, float]:
    return compute_finished_ratios(figures) if isinstance(size, FinishedSize) else compute_ratios(figures)


def write_results(results: Path, document: dict[str, Any]) -> Path:
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


async def run_benchmarks(options: argparse.Namespace) -> str:
    """Print the tables. Return the last line."""
    size: RunSize | WaitingSize | FinishedSize = WaitingSize() if options.waiting else parse_size(options)
    if options.finished:
        size = FinishedSize(rows=options.finished)
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as home:
        async with asyncio.timeout(TIME_LIMIT):
            if isinstance(size, WaitingSize):
                figures = await run_waiting(Path(home), size)
            elif isinstance(size, FinishedSize):
                figures = await run_finished(Path(home), size)
            else:
                figures = await run(Path(home), size, temporal=options.temporal, profiles=options.profile)
    document = build_report(figures, size, options.temporal)
    print(figures.table())
    if "ratios" in document:
        print(f"\n{format_ratios(document['ratios'])}\n")
    path = write_results(options.results, document)
    return json.dumps({name: document[name] for name in ("ratios",) if name in document} | {"file": str(path)})


def main(args: list[str]) -> int:
    options = arguments(args)
    try:
        if options.profile:
            prepare_profiles(options.profile)
        print(asyncio.run(run_benchmarks(options)))
    except ProfilerNotFound as error:
        print(f"make bench: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # A normal exit can abort in the SDK's native threads while the interpreter shuts down.
    os._exit(code)
