"""Postgres restarted in the middle of everything, full, or not to be reached."""

import asyncio

from tests.faults.acts.table import fault
from tests.faults.acts.workers import some, texts
from tests.faults.kinds import ASK_MAIL
from tests.faults.pace import lasting
from tests.faults.scene import Scene
from tests.faults.vendor.moods import Mood


async def pg_ctl(scene: Scene, *order: str) -> None:
    """On our own cluster, as the account that it belongs to."""
    cluster = scene.servers.cluster
    program = (*cluster.account.prefix, str(cluster.binaries / "pg_ctl"), "-D", str(cluster.data), *order)
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.DEVNULL, cwd=cluster.home)
    assert await process.wait() == 0, f"pg_ctl {' '.join(order)}: exit code {process.returncode}"


@fault
async def postgres_restarted(scene: Scene) -> None:
    """`pg_ctl -m immediate stop` under load, and a start with recovery."""
    postgres = scene.part("postgres")
    sending = asyncio.create_task(scene.crowd.burst(scene.scale.burst, ASK_MAIL))
    await texts(scene)
    postgres.leave()
    await pg_ctl(scene, "-m", "immediate", "stop")
    await postgres.process.wait()
    await lasting(1)
    await postgres.start()
    await sending


@fault
async def connections_exhausted(scene: Scene) -> None:
    """Every connection of Postgres taken by somebody else for a few seconds."""
    await texts(scene)
    taken = await scene.books.exhausted()
    sending = asyncio.create_task(scene.crowd.burst(scene.scale.burst, ASK_MAIL))
    await lasting(scene.scale.moment)
    await asyncio.gather(*(connection.close() for connection in taken))
    await sending


@fault
async def postgres_cut_off_after_the_answer(scene: Scene) -> None:
    """The workers lose Postgres while the vendor holds the answers: what was accepted is recorded later."""
    async with scene.desk.day(Mood.HOLD, "twilio"):
        sent = await texts(scene)
        await scene.desk.holds("twilio", some(sent))
        with scene.servers.wires["workers to postgres"].cut():
            await scene.desk.ask(release=True)
            await lasting(2)


@fault
async def postgres_silent(scene: Scene) -> None:
    """Nothing comes back from Postgres to the workers for some seconds; no connection breaks."""
    sent = await texts(scene)
    with scene.servers.wires["workers to postgres"].dead():
        await lasting(scene.scale.moment + 2)
    assert sent
