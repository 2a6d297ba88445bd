"""Temporal killed, away, cut off, or back with an empty store."""

from tests.faults.acts.table import fault, outage
from tests.faults.kinds import ASK_MAIL, ASK_TEXT, ESCALATION, HOOK
from tests.faults.pace import lasting
from tests.faults.scene import Scene


@fault
async def temporal_killed(scene: Scene) -> None:
    """Temporal killed with -9 under load, and started again."""
    await scene.crowd.burst(scene.scale.burst, ASK_MAIL)
    await scene.part("temporal").kill()
    await scene.crowd.burst(scene.scale.burst, ASK_TEXT, 1)
    await scene.part("temporal").start()


@outage
async def temporal_down(scene: Scene) -> None:
    """No Temporal for 20 s, minutes in the long run: every send is accepted meanwhile."""
    await scene.crowd.burst(scene.scale.burst, ESCALATION)
    await scene.part("temporal").kill()
    await scene.crowd.burst(scene.scale.burst, ASK_MAIL, 1)
    await lasting(scene.scale.outage)
    await scene.part("temporal").start()


@fault
async def temporal_store_deleted(scene: Scene) -> None:
    """Temporal killed and its store deleted, with workflows that wait, retry and are under way."""
    await scene.crowd.burst(scene.scale.burst, ESCALATION, word="silent")
    await scene.crowd.burst(scene.scale.burst, HOOK, 1, "flaky")
    await scene.crowd.burst(scene.scale.burst, ASK_TEXT)
    await scene.part("temporal").kill()
    for file in scene.servers.home.glob("temporal.db*"):
        file.unlink()
    await scene.part("temporal").start()


@fault
async def temporal_cut_off(scene: Scene) -> None:
    """The wire to Temporal breaks for a moment, and is slow afterwards."""
    wire = scene.servers.wires["to temporal"]
    await scene.crowd.burst(scene.scale.burst, ASK_MAIL)
    with wire.cut():
        await scene.crowd.burst(scene.scale.burst, ASK_TEXT, 1)
        await lasting(scene.scale.moment)
    with wire.slow(0.05):
        await lasting(scene.scale.moment)
