"""Worker processes that differ from each other: one is frozen, is killed, or has other providers."""

from contextlib import ExitStack

from tests.faults.acts.table import fault
from tests.faults.acts.workers import nothing_unknown, some, texts
from tests.faults.crowd import Sent
from tests.faults.kinds import ASK_MAIL
from tests.faults.part import Part
from tests.faults.scene import Scene

OPEN = "SELECT count(*) FROM notification WHERE id::text = ANY($1) AND finished_at IS NULL"
CLAIMED_BY = """
SELECT count(*) FROM queue_entry q JOIN process p ON p.id = q.claimed_by
 WHERE p.pid = $1 AND q.notification_id::text = ANY($2)
"""
LEASES_END = "SELECT max(next_at)::text FROM queue_entry WHERE notification_id::text = ANY($1) AND state = 'claimed'"
IS_OVER = "SELECT clock_timestamp() > CAST($1::text AS timestamptz)"
PROVIDERS = "SELECT DISTINCT provider FROM attempt WHERE notification_id::text = ANY($1) ORDER BY provider"
NOT_CONFIGURED = """
SELECT id::text FROM delivery WHERE notification_id::text = ANY($1) AND failure_args->>'cause' = 'not_configured'
"""
BURSTS = 4  # with more notifications than two processes have slots for
HELD = 2  # slots of the process that is killed or frozen
HELD_WITHIN = 15.0
LEASE_ENDS_WITHIN = 20.0


@fault
async def frozen_past_the_lease(scene: Scene) -> None:
    """SIGSTOP of a worker with starts under way, for longer than its claims last: the other sends all; then SIGCONT."""
    frozen, _ = scene.servers.workers
    with ExitStack() as thawed:
        with scene.part("temporal").frozen():  # starts are under way for as long as it takes to see them
            sent = await texts(scene)
            await _holds(scene, frozen, sent)
            thawed.enter_context(frozen.frozen())
            leases_end = await scene.books.one(LEASES_END, [each.id for each in sent])
        await _ended(scene, [*sent, *await texts(scene)])
        await scene.books.until(IS_OVER, leases_end, is_=True, within=LEASE_ENDS_WITHIN)
    nothing_unknown(scene, "frozen_past_the_lease", sent)


@fault
async def killed_after_eager_starts(scene: Scene) -> None:
    """One worker of two killed with -9 after it was given the first tasks with its starts: the other does them."""
    killed, _ = scene.servers.workers
    async with scene.books.locked("delivery"):
        sent = await texts(scene)
        await scene.books.waiting("delivery", some(sent))
        await _holds(scene, killed, sent)
        await killed.kill()
    await _ended(scene, sent)
    await killed.start()
    nothing_unknown(scene, "killed_after_eager_starts", sent)


@fault
async def workers_with_other_providers(scene: Scene) -> None:
    """Each worker lacks one of the two e-mail providers: both are used, and nothing fails as not configured."""
    pools = ("sendgrid", "smtp")
    for worker, pool in zip(scene.servers.workers, pools, strict=True):
        await worker.change_settings(EMAIL_PROVIDERS=pool)
    sent = await scene.crowd.batch(BURSTS * scene.scale.burst, ASK_MAIL)
    await _ended(scene, sent)
    ids = [each.id for each in sent]
    used = tuple(row["provider"] for row in await scene.books.rows(PROVIDERS, ids))
    failed = await scene.books.rows(NOT_CONFIGURED, ids)
    for worker in scene.servers.workers:
        await worker.change_settings()
    assert used == pools, f"used were {used}"
    assert failed == [], f"not configured: {failed}"


async def _holds(scene: Scene, part: Part, sent: list[Sent]) -> None:
    """Until this process has slots for some of these notifications."""
    ids = [each.id for each in sent]

    async def enough() -> bool:
        return int(await scene.books.one(CLAIMED_BY, part.process.pid, ids)) >= HELD

    await scene.books.until_true(enough, HELD_WITHIN)


async def _ended(scene: Scene, sent: list[Sent]) -> None:
    await scene.books.until(OPEN, [each.id for each in sent], is_=0, within=scene.scale.deadline)
