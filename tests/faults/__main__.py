"""`make faults`: real servers, real kills, and the promises checked after each seed. One line per seed, one in all."""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.acts import FAULTS, OUTAGES
from tests.faults.permutations import differences
from tests.faults.plan import ROUND, faults_of
from tests.faults.play import Stage, Told, on_stage, play
from tests.faults.residue import burden, grown
from tests.faults.scene import Scale
from tests.faults.servers import IMPATIENT_WORKER, REAL_WORKER

NOTIFICATIONS, PERMUTATIONS = 500, 20
SHOWN = 5  # rows of a broken promise
LONG = Scale(outage=180, moment=20, flood=10_000, trickle=400, deadline=1_200)


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=ROUND, help="seeds 1 to N; 20 have every fault at least once")
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--fault", choices=sorted(FAULTS), help="this fault only, whatever the seed")
    parser.add_argument("--long", action="store_true", help="outages of minutes, a flood of 10,000")
    parser.add_argument("--keep", type=Path, help="directory for data and logs, which stays")
    parser.add_argument(
        "--temporal", type=Path, metavar="PROGRAM", help="becomes another Temporal server; called with PORT DIRECTORY"
    )
    parser.add_argument("--list", action="store_true", help="what the faults are")
    return parser.parse_args(given)


def line(told: Told) -> str:
    return (
        f"seed {told.seed:<3} accepted {told.accepted} / sends {told.sends} / unknown {told.unknown} / "
        f"duplicates {undeclared(told)} / stuck {told.stuck}   {told.seconds:.0f} s   {', '.join(told.faults)}"
    )


def undeclared(told: Told) -> int:
    """Sends that no row calls unknown."""
    return len(told.broken.get("I3 at most one send", []))


def total(all_told: Sequence[Told], seconds: float) -> str:
    accepted, sends, unknown, repeated, stuck = (
        sum(getattr(told, name) for told in all_told) for name in ("accepted", "sends", "unknown", "repeated", "stuck")
    )
    duplicates = sum(map(undeclared, all_told))
    return (
        f"accepted {accepted} / sends {sends} / unknown {unknown} / duplicates {duplicates} / stuck {stuck}   "
        f"({len(all_told)} seeds, {repeated - duplicates} declared repetitions, {seconds / 60:.1f} min)"
    )


def say(text: str) -> None:
    print(text, flush=True)


def report(told: Told) -> None:
    say(line(told))
    for note in told.notes:
        say(f"  {note}")
    for name, rows in told.broken.items():
        say(f"  BROKEN {name}: {len(rows)}")
        for row in rows[:SHOWN]:
            say(f"    {row}")


async def run(options: argparse.Namespace, home: Path) -> bool:
    """Whether every promise was kept."""
    began = time.monotonic()
    scale = LONG if options.long else Scale()
    everything: list[Told] = []
    async with on_stage(home, REAL_WORKER if options.long else IMPATIENT_WORKER, options.temporal) as stage:
        say(f"servers ready in {time.monotonic() - began:.0f} s")
        for seed, names in chosen(options):
            everything.append(await play(stage, seed, names, scale))
            report(everything[-1])
        broken = await leave(stage)
        if not (options.seed or options.fault):
            broken += await in_every_order(stage)
    for what in broken:
        say(f"  BROKEN {what}")
    say(total(everything, time.monotonic() - began))
    return not broken and not any(told.broken for told in everything)


def chosen(options: argparse.Namespace) -> list[tuple[int, list[str]]]:
    """Seeds, and the faults of each."""
    if options.long:
        return [(number, [name]) for number, name in enumerate(sorted(OUTAGES), start=1)]
    seeds = [options.seed] if options.seed else range(1, options.seeds + 1)
    return [(seed, [options.fault] if options.fault else faults_of(seed)) for seed in seeds]


async def leave(stage: Stage) -> list[str]:
    """I10, when all is quiet again."""
    now = await burden(stage.servers, stage.books)
    say(f"at first: {stage.at_first}\nin the end: {now}")
    return [f"I10: {what}" for what in grown(stage.at_first, now)]


async def in_every_order(stage: Stage) -> list[str]:
    """I6, without any fault."""
    began = time.monotonic()
    broken = await differences(stage.servers.info.database_url, NOTIFICATIONS, PERMUTATIONS, seed=1)
    say(
        f"receipts of {NOTIFICATIONS} notifications in {PERMUTATIONS} orders, some repeated: "
        f"{len(broken)} orders came out otherwise   {time.monotonic() - began:.0f} s"
    )
    return [f"I6: {what}" for what in broken]


def main(options: argparse.Namespace) -> int:
    if options.list:
        for name, act in sorted(FAULTS.items()):
            say(f"{name:40} {act.__doc__}")
        return 0
    with tempfile.TemporaryDirectory(prefix="tocsin-faults-") as home:
        return 0 if asyncio.run(run(options, (options.keep or Path(home)).resolve())) else 1


if __name__ == "__main__":
    code = main(arguments(sys.argv[1:]))
    # A plain exit can abort in the SDK's native threads while the interpreter shuts down.
    os._exit(code)
