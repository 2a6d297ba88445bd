"""Run bugs in Tocsin's code and in templates, and deploy over open workflows."""

from datetime import UTC, datetime, timedelta

from faults.catalog.table import fault
from faults.scenario import Scenario
from faults.type_specs import ESCALATION, POISON, RECONCILE_SMS, WEBHOOK

ENDS = "SELECT status, failure_reason FROM notification WHERE id::text = ANY($1)"
# By Postgres' clock: the email step has three seconds.
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
async def bug_in_a_workflow(scenario: Scenario) -> None:
    """Run workers whose workflow code has a bug: its notifications end FAILED with a reason and block no other."""
    await scenario.servers.restart_workers("bug")
    sent = await scenario.load_generator.burst(scenario.scale.burst, RECONCILE_SMS)
    ids = [each.id for each in sent]
    await scenario.stack_database.until(ENDED, ids, is_=len(ids), within=30)
    ends = {tuple(row.values()) for row in await scenario.stack_database.rows(ENDS, ids)}
    await scenario.servers.restart_workers()
    assert ends == {("FAILED", "internal")}, f"a bug ends as {ends}"


@fault
async def newer_code_over_open_workflows(scenario: Scenario) -> None:
    """Deploy a new workflow version, worker by worker, while workflows are half finished under the old one."""
    await scenario.load_generator.burst(scenario.scale.burst, ESCALATION, word="silent")
    later = (datetime.now(UTC) + timedelta(seconds=8)).isoformat()
    await scenario.load_generator.burst(scenario.scale.burst, RECONCILE_SMS, 1, send_at=later)
    await scenario.load_generator.burst(scenario.scale.burst, WEBHOOK, 0, "flaky")
    for worker in scenario.servers.workers:
        await worker.restart_as(*scenario.servers.program_with("newer"))
    await scenario.load_generator.burst(scenario.scale.burst, ESCALATION, 1, word="silent")
    # Workflows that began under the newer code must end under it.
    scenario.cleanups.append(scenario.servers.restart_workers)


@fault
async def clocks_a_day_off(scenario: Scenario) -> None:
    """Set the clock of one worker a day ahead and that of the other a day behind."""
    ahead, behind = scenario.servers.workers
    await ahead.restart_as(*scenario.servers.program_with("tomorrow"))
    await behind.restart_as(*scenario.servers.program_with("yesterday"))
    waiting = await scenario.load_generator.burst(scenario.scale.burst, ESCALATION, word="silent")
    await scenario.load_generator.burst(scenario.scale.burst, RECONCILE_SMS, 1)
    await scenario.wait_until_all_ended()
    await scenario.servers.restart_workers()
    early = await scenario.stack_database.rows(ESCALATED_EARLY, [each.id for each in waiting])
    assert early == [], f"the next step did not wait for the deadline of the first: {early}"


@fault
async def poison_template(scenario: Scenario) -> None:
    """Render a template that never ends: it is stopped, and other sends are not affected."""
    poisoned = await scenario.load_generator.burst(3, POISON)
    others = await scenario.load_generator.burst(scenario.scale.burst, RECONCILE_SMS)
    await scenario.wait_for_attempts(others, len(others), "accepted", "unknown", within=30)

    async def wrong() -> list[str]:
        rows = await scenario.stack_database.rows(ENDS, [each.id for each in poisoned])
        reasons = [f"{row['status']} {row['failure_reason']}" for row in rows]
        return [reason for reason in reasons if not reason.startswith("FAILED sms: template_error")]

    scenario.checks["poison_template: the notification fails with a reason"] = wrong
