"""Temporal killed, away, cut off, or back with an empty store."""

from embedded.temporary import temporary_temporal
from tests.faults.acts.table import fault, outage
from tests.faults.kinds import ASK_MAIL, ASK_TEXT, ESCALATION, HOOK
from tests.faults.pace import lasting
from tests.faults.scene import Scene

ADOPTED = "SELECT namespace_id FROM engine_state"
OTHER_SEEN = "SELECT other_since IS NOT NULL FROM engine_state"
# As if some minutes had passed: what was begun at the wrong address is looked for.
MINUTES_LATER = (
    "UPDATE engine_state SET other_seen_at = other_seen_at - interval '2 minutes'",
    "UPDATE queue_entry SET next_at = now() WHERE state IN ('started', 'waiting')",
)


@fault
async def temporal_at_a_wrong_address(scene: Scene) -> None:
    """Temporal's address leads to another server for a while: nothing is started again there, and new sends go out."""
    home, adopted = scene.servers.home / "other", await scene.books.one(ADOPTED)
    home.mkdir(exist_ok=True)
    await scene.crowd.burst(scene.scale.burst, ESCALATION)
    async with temporary_temporal(home) as other:
        with scene.servers.wires["to temporal"].leading_to(other.port):
            await scene.crowd.burst(scene.scale.burst, ASK_TEXT, 1)
            await scene.books.until_true(lambda: scene.books.one(OTHER_SEEN), within=30)
            await lasting(scene.scale.moment)
    await scene.books.until_true(lambda: _sees(scene, adopted), within=60)
    for statement in MINUTES_LATER:
        await scene.books.rows(statement)


async def _sees(scene: Scene, adopted: str) -> bool:
    """Whether all processes see the adopted store again, and no other one has been adopted meanwhile."""
    assert await scene.books.one(ADOPTED) == adopted
    return not await scene.books.one(OTHER_SEEN)


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
    scene.servers.delete_temporal_store()
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
