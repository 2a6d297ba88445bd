"""Mistakes in our own code and in templates, and a deploy in the middle of open workflows."""

from datetime import UTC, datetime, timedelta

from tests.faults.acts.table import fault
from tests.faults.kinds import ASK_TEXT, ESCALATION, HOOK, POISON
from tests.faults.scene import Scene

ENDS = "SELECT status, failure_reason FROM notification WHERE id::text = ANY($1)"
# By Postgres' clock: the e-mail's step has three seconds.
ESCALATED_EARLY = """
SELECT n.id::text, extract(epoch FROM later.started_at - first.started_at) AS after FROM notification n
  JOIN delivery one ON one.notification_id = n.id AND one.step = 1 AND one.status IN ('SENT', 'DELIVERED', 'OPENED')
  JOIN delivery two ON two.notification_id = n.id AND two.step = 2
  JOIN attempt first ON first.delivery_id = one.id AND first.number = 1
  JOIN attempt later ON later.delivery_id = two.id AND later.number = 1
 WHERE n.id::text = ANY($1) AND later.started_at < first.started_at + interval '2.9 s'
"""
ENDED = "SELECT count(*) FROM notification WHERE id::text = ANY($1) AND finished_at IS NOT NULL"


@fault
async def bug_in_a_workflow(scene: Scene) -> None:
    """Workers whose workflow code has a mistake: what they meet ends FAILED, says so, and holds up nobody."""
    await scene.servers.exchange_workers("bug")
    sent = await scene.crowd.burst(scene.scale.burst, ASK_TEXT)
    ids = [each.id for each in sent]
    await scene.books.until(ENDED, ids, is_=len(ids), within=30)
    ends = {tuple(row.values()) for row in await scene.books.rows(ENDS, ids)}
    await scene.servers.exchange_workers()
    assert ends == {("FAILED", "internal")}, f"a mistake ends as {ends}"


@fault
async def newer_code_over_open_workflows(scene: Scene) -> None:
    """A new version of the workflow is deployed, worker by worker, while others are half way through the old one."""
    await scene.crowd.burst(scene.scale.burst, ESCALATION, word="silent")
    later = (datetime.now(UTC) + timedelta(seconds=8)).isoformat()
    await scene.crowd.burst(scene.scale.burst, ASK_TEXT, 1, send_at=later)
    await scene.crowd.burst(scene.scale.burst, HOOK, 0, "flaky")
    for worker in scene.servers.workers:
        await worker.become(*scene.servers.program_with("newer"))
    await scene.crowd.burst(scene.scale.burst, ESCALATION, 1, word="silent")
    # What began under the newer code must end under it.
    scene.cleanups.append(scene.servers.exchange_workers)


@fault
async def clocks_a_day_off(scene: Scene) -> None:
    """The clock of one worker is a day ahead, that of the other a day behind."""
    ahead, behind = scene.servers.workers
    await ahead.become(*scene.servers.program_with("tomorrow"))
    await behind.become(*scene.servers.program_with("yesterday"))
    waiting = await scene.crowd.burst(scene.scale.burst, ESCALATION, word="silent")
    await scene.crowd.burst(scene.scale.burst, ASK_TEXT, 1)
    await scene.quiet()
    await scene.servers.exchange_workers()
    early = await scene.books.rows(ESCALATED_EARLY, [each.id for each in waiting])
    assert early == [], f"the next step did not wait for the time of the first: {early}"


@fault
async def poison_template(scene: Scene) -> None:
    """A template that never ends is cut off; what is sent beside it is not."""
    poisoned = await scene.crowd.burst(3, POISON)
    beside = await scene.crowd.burst(scene.scale.burst, ASK_TEXT)
    await scene.reach(beside, len(beside), "accepted", "unknown", within=30)

    async def wrong() -> list[str]:
        rows = await scene.books.rows(ENDS, [each.id for each in poisoned])
        reasons = [f"{row['status']} {row['failure_reason']}" for row in rows]
        return [reason for reason in reasons if not reason.startswith("FAILED sms: template_error")]

    scene.checks["poison_template: fails and says why"] = wrong
