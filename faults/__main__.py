"""Run `make faults`: real servers, real kills, and the invariants checked after each seed. One line per seed, one in
total.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from faults.catalog import FAULTS, OUTAGES
from faults.fault_run import FaultEnvironment, FaultRunResult, run_faults, running_environment
from faults.fault_selection import FULL_ROUND, select_faults
from faults.permutations import differences
from faults.resource_leaks import resource_growth, resource_usage
from faults.scenario import FaultScale
from faults.servers import REAL_WORKER, SHORT_TIMEOUT_WORKER

NOTIFICATIONS, PERMUTATIONS = 500, 20
SHOWN = 5  # rows of a broken invariant
LONG = FaultScale(outage=180, moment=20, flood=10_000, background_load=400, deadline=1_200)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=FULL_ROUND, help="seeds 1 to N; 20 have every fault at least once")
    parser.add_argument("--seed", type=int, help="this seed only")
    parser.add_argument("--fault", choices=sorted(FAULTS), help="this fault only, for every seed")
    parser.add_argument("--long", action="store_true", help="outages of minutes, a flood of 10,000")
    parser.add_argument("--keep", type=Path, help="directory for data and logs, which is kept")
    parser.add_argument(
        "--temporal",
        type=Path,
        metavar="PROGRAM",
        help="program that becomes another Temporal server; called with PORT DIRECTORY",
    )
    parser.add_argument("--list", action="store_true", help="list the faults")
    return parser.parse_args(argv)


def line(result: FaultRunResult) -> str:
    return (
        f"seed {result.seed:<3} accepted {result.accepted} / sends {result.sends} / unknown {result.unknown} / "
        f"duplicates {extra_sends(result)} / stuck {result.stuck}   {result.seconds:.0f} s   {', '.join(result.faults)}"
    )


def extra_sends(result: FaultRunResult) -> int:
    """Count the sends that no row records as unknown."""
    return len(result.broken.get("I3 at most one send", []))


def total(results: Sequence[FaultRunResult], seconds: float) -> str:
    accepted, sends, unknown, repeated, stuck = (
        sum(getattr(result, name) for result in results)
        for name in ("accepted", "sends", "unknown", "repeated", "stuck")
    )
    duplicates = sum(map(extra_sends, results))
    return (
        f"accepted {accepted} / sends {sends} / unknown {unknown} / duplicates {duplicates} / stuck {stuck}   "
        f"({len(results)} seeds, {repeated - duplicates} declared repetitions, {seconds / 60:.1f} min)"
    )


def print_line(text: str) -> None:
    print(text, flush=True)


def report(result: FaultRunResult) -> None:
    print_line(line(result))
    for note in result.notes:
        print_line(f"  {note}")
    for name, rows in result.broken.items():
        print_line(f"  BROKEN {name}: {len(rows)}")
        for row in rows[:SHOWN]:
            print_line(f"    {row}")


async def run(options: argparse.Namespace, home: Path) -> bool:
    """Run the seeds. Return whether every invariant held."""
    began = time.monotonic()
    scale = LONG if options.long else FaultScale()
    results: list[FaultRunResult] = []
    async with running_environment(
        home, REAL_WORKER if options.long else SHORT_TIMEOUT_WORKER, options.temporal
    ) as environment:
        print_line(f"servers ready in {time.monotonic() - began:.0f} s")
        for seed, names in chosen(options):
            results.append(await run_faults(environment, seed, names, scale))
            report(results[-1])
        broken = await check_resource_growth(environment)
        if not (options.seed or options.fault):
            broken += await check_receipt_orders(environment)
    for what in broken:
        print_line(f"  BROKEN {what}")
    print_line(total(results, time.monotonic() - began))
    return not broken and not any(result.broken for result in results)


def chosen(options: argparse.Namespace) -> list[tuple[int, list[str]]]:
    """Return the seeds with their faults."""
    if options.long:
        return [(number, [name]) for number, name in enumerate(sorted(OUTAGES), start=1)]
    seeds = [options.seed] if options.seed else range(1, options.seeds + 1)
    return [(seed, [options.fault] if options.fault else select_faults(seed)) for seed in seeds]


async def check_resource_growth(environment: FaultEnvironment) -> list[str]:
    """Check I10, when no work is left."""
    now = await resource_usage(environment.servers, environment.stack_database)
    print_line(f"at the start: {environment.initial_usage}\nat the end: {now}")
    return [f"I10: {what}" for what in resource_growth(environment.initial_usage, now)]


async def check_receipt_orders(environment: FaultEnvironment) -> list[str]:
    """Check I6, without a fault."""
    began = time.monotonic()
    broken = await differences(environment.servers.info.database_url, NOTIFICATIONS, PERMUTATIONS, seed=1)
    print_line(
        f"receipts of {NOTIFICATIONS} notifications in {PERMUTATIONS} orders, some repeated: "
        f"{len(broken)} orders gave other rows   {time.monotonic() - began:.0f} s"
    )
    return [f"I6: {what}" for what in broken]


def main(options: argparse.Namespace) -> int:
    if options.list:
        for name, inject in sorted(FAULTS.items()):
            print_line(f"{name:40} {inject.__doc__}")
        return 0
    with tempfile.TemporaryDirectory(prefix="tocsin-faults-") as home:
        return 0 if asyncio.run(run(options, (options.keep or Path(home)).resolve())) else 1


if __name__ == "__main__":
    code = main(arguments(sys.argv[1:]))
    # A normal exit can abort in the SDK's native threads while the interpreter shuts down.
    os._exit(code)
