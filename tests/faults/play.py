"""One seed: messages of every kind come in, its faults happen, everything ends, and the promises are checked."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import httpx2
from temporalio.client import Client
from temporalio.service import RPCError

from dispatch.connection import connect
from tests.faults.acts import FAULTS
from tests.faults.books import Books
from tests.faults.crowd import Crowd, open_crowd
from tests.faults.invariants import EVERY_ONE_ENDS, broken, figures
from tests.faults.kinds import KINDS
from tests.faults.residue import Burden, burden, is_blind, leaks_in
from tests.faults.scene import OPEN, Scale, Scene
from tests.faults.servers import IMPATIENT_WORKER, Servers, serving
from tests.faults.trickle import trickling
from tests.polling import eventually

RATE = 12.0  # messages a second that come in whatever happens
STUCK = f"SELECT id::text, status FROM ({EVERY_ONE_ENDS}) still_open"
# An early or repeated receipt is looked at again after 1, 2, 4 … s.
UNAPPLIED = """
SELECT count(*) FROM receipt r JOIN attempt a ON a.provider = r.provider AND (a.id = r.attempt_id
       OR (r.attempt_id IS NULL AND a.provider_message_id = r.provider_message_id)) WHERE r.applied_at IS NULL
"""
UNPOSTED = "SELECT count(*) FROM sandbox_receipt WHERE posted_at IS NULL"
RUNNING = "ExecutionStatus = 'Running' AND WorkflowType = 'NotificationWorkflow'"
WENT_WRONG = (AssertionError, OSError, TimeoutError, httpx2.HTTPError, asyncpg.PostgresError, asyncpg.InterfaceError)
SETTLED_WITHIN = 30.0
SHOWN = 5  # offending rows of a broken promise


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Servers and senders, ready; `at_first` is what the processes held after their first messages."""

    servers: Servers
    books: Books
    crowd: Crowd
    at_first: Burden


@dataclass(kw_only=True)
class Told:
    """What became of one seed. `broken` is empty when every promise was kept."""

    seed: int
    faults: list[str]
    accepted: int = 0
    sends: int = 0
    unknown: int = 0
    repeated: int = 0
    in_doubt: int = 0
    stuck: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    broken: dict[str, list[Any]] = field(default_factory=dict)


@asynccontextmanager
async def on_stage(
    home: Path, program: tuple[str, ...] = IMPATIENT_WORKER, temporal: Path | None = None
) -> AsyncIterator[Stage]:
    """With one message of each kind through: every process has done its work once."""
    async with serving(home, program, temporal=temporal) as servers, open_crowd(servers) as crowd:
        books = Books(servers.info.database_url)
        try:
            for tenant in range(len(crowd.tenants)):
                await asyncio.gather(*(crowd.send(kind, tenant) for kind in KINDS if kind.share))
            await books.until(OPEN, is_=0, within=60)
            yield Stage(servers=servers, books=books, crowd=crowd, at_first=await burden(servers, books))
        finally:
            await books.close()


async def play(stage: Stage, seed: int, names: Sequence[str], scale: Scale) -> Told:
    """The order is the caller's; everything else is the seed's."""
    began, dice = time.monotonic(), Random(seed)
    told = Told(seed=seed, faults=list(names))
    before = await _sums(stage)
    known, deaths = len(stage.crowd.answered), len(stage.servers.deaths)
    async with trickling(lambda: stage.crowd.anything(dice), RATE, dice, scale.trickle) as trickle:
        scene = Scene(
            servers=stage.servers, books=stage.books, crowd=stage.crowd, trickle=trickle, dice=dice, scale=scale
        )
        for name in names:
            await _act(scene, name, told)
        await trickle.all_asked()
    await _end(stage, scene, told)
    told.broken |= await _check(stage, scene, told)
    for cleanup in scene.cleanups:
        await cleanup()
    after = await _sums(stage)
    told.accepted = len(stage.crowd.answered) - known
    told.sends, told.unknown, told.repeated, told.in_doubt = (
        after[name] - before[name] for name in ("sends", "unknown", "repeated", "in_doubt")
    )
    told.notes += [*scene.notes, *stage.servers.deaths[deaths:]]
    told.seconds = time.monotonic() - began
    return told


async def _act(scene: Scene, name: str, told: Told) -> None:
    """A fault that does not go as it should says so, and the run goes on to see whether anything was lost."""
    try:
        # A circuit that another fault has opened would keep the vendor's bad day from us.
        await scene.close_circuits()
        await FAULTS[name](scene)
    except WENT_WRONG as error:
        told.broken[name] = [f"{type(error).__name__}: {error}"]
        await scene.servers.revive()
        scene.trickle.resume()


async def _end(stage: Stage, scene: Scene, told: Told) -> None:
    """Until no step waits any more, and every receipt is where it belongs."""
    try:
        await stage.books.until(OPEN, is_=0, within=scene.scale.deadline)
        await stage.servers.desk.has_reported()
        await stage.books.until(UNPOSTED, is_=0, within=SETTLED_WITHIN)
        await stage.books.until(UNAPPLIED, is_=0, within=SETTLED_WITHIN)
        client = await connect(stage.servers.info.temporal_address, "default", lazy=False)
        await eventually(lambda: _still_running(client), lambda count: count == 0, SETTLED_WITHIN)
    except AssertionError as error:
        stuck = await stage.books.rows(STUCK)
        told.stuck = len(stuck)
        told.broken["I2 every one ends"] = [str(error), *stuck]


async def _still_running(client: Client) -> int:
    try:
        return (await client.count_workflows(RUNNING)).count
    except RPCError:
        return -1


async def _check(stage: Stage, scene: Scene, told: Told) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = dict(await broken(stage.books.rows, stage.servers.desk.books()))
    for name, check in scene.checks.items():
        found[name] = list(await check())
    found["I1 the same key, the same notification"] = await stage.crowd.repeats_differ(scene.dice)
    found["I1 an id that was answered is a row"] = await _missing(stage)
    found["I7 a stranger's id"] = await _seen_by_strangers(stage, scene.dice)
    found["I9 canaries"] = leaks_in(stage.servers.home)
    if is_blind(stage.servers, list(stage.crowd.sent)[-SHOWN:]):
        found["I9 canaries"].append("the search is blind")
    found["receipts are taken"] = (await stage.servers.desk.ask())["complaints"]
    return {name: rows for name, rows in found.items() if rows}


async def _missing(stage: Stage) -> list[str]:
    rows = await stage.books.rows("SELECT id::text FROM notification")
    return sorted(stage.crowd.answered - {row["id"] for row in rows})


async def _seen_by_strangers(stage: Stage, dice: Random) -> list[str]:
    """Ids for which another tenant's key is answered anything but 404."""
    seen = []
    for sent in dice.sample(list(stage.crowd.sent.values()), SHOWN):
        stranger = stage.crowd.tenants[1 - sent.tenant]
        for method, path in (("GET", f"/notifications/{sent.id}"), ("POST", f"/notifications/{sent.id}/cancel")):
            status = (await stranger.http.request(method, path)).status_code
            if status != 404:
                seen.append(f"{method} {path}: {status}")
    return seen


async def _sums(stage: Stage) -> dict[str, int]:
    return await figures(stage.books.rows, stage.servers.desk.books())
