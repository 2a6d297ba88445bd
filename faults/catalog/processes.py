"""Run worker processes that differ: one is frozen, is killed, or has other providers."""

from contextlib import ExitStack

from faults.catalog.table import fault
from faults.catalog.workers import check_no_unknown_outcome, minimum_held, send_sms_burst
from faults.load_generator import GeneratedSend
from faults.scenario import Scenario
from faults.stack_process import StackProcess
from faults.type_specs import RECONCILE_EMAIL

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
BURSTS = 4  # bursts with more notifications than two processes have slots
HELD = 2  # slots of the killed or frozen process
HOLD_TIMEOUT = 15.0
LEASE_END_TIMEOUT = 20.0


@fault
async def frozen_past_the_lease(scenario: Scenario) -> None:
    """Freeze a worker (SIGSTOP) with starts in flight beyond its lease: the other sends all; then SIGCONT."""
    frozen, _ = scenario.servers.workers
    with ExitStack() as thawed:
        with scenario.stack_process("temporal").frozen():  # starts stay in flight until they are observed
            sent = await send_sms_burst(scenario)
            await _holds(scenario, frozen, sent)
            thawed.enter_context(frozen.frozen())
            leases_end = await scenario.stack_database.one(LEASES_END, [each.id for each in sent])
        await _ended(scenario, [*sent, *await send_sms_burst(scenario)])
        await scenario.stack_database.until(IS_OVER, leases_end, is_=True, within=LEASE_END_TIMEOUT)
    check_no_unknown_outcome(scenario, "frozen_past_the_lease", sent)


@fault
async def killed_after_eager_starts(scenario: Scenario) -> None:
    """Kill one of two workers with -9 after it got the first tasks with its starts: the other runs them."""
    killed, _ = scenario.servers.workers
    async with scenario.stack_database.locked("delivery"):
        sent = await send_sms_burst(scenario)
        await scenario.stack_database.waiting("delivery", minimum_held(sent))
        await _holds(scenario, killed, sent)
        await killed.kill()
    await _ended(scenario, sent)
    await killed.start()
    check_no_unknown_outcome(scenario, "killed_after_eager_starts", sent)


@fault
async def workers_with_other_providers(scenario: Scenario) -> None:
    """Give each worker one of the two email providers: both are used, and nothing fails as not configured."""
    pools = ("sendgrid", "smtp")
    for worker, pool in zip(scenario.servers.workers, pools, strict=True):
        await worker.change_settings(EMAIL_PROVIDERS=pool)
    sent = await scenario.load_generator.batch(BURSTS * scenario.scale.burst, RECONCILE_EMAIL)
    await _ended(scenario, sent)
    ids = [each.id for each in sent]
    used = tuple(row["provider"] for row in await scenario.stack_database.rows(PROVIDERS, ids))
    failed = await scenario.stack_database.rows(NOT_CONFIGURED, ids)
    for worker in scenario.servers.workers:
        await worker.change_settings()
    assert used == pools, f"used providers: {used}"
    assert failed == [], f"not configured: {failed}"


async def _holds(scenario: Scenario, stack_process: StackProcess, sent: list[GeneratedSend]) -> None:
    """Wait until this process has slots for some of these notifications."""
    ids = [each.id for each in sent]

    async def enough() -> bool:
        return int(await scenario.stack_database.one(CLAIMED_BY, stack_process.process.pid, ids)) >= HELD

    await scenario.stack_database.until_true(enough, HOLD_TIMEOUT)


async def _ended(scenario: Scenario, sent: list[GeneratedSend]) -> None:
    await scenario.stack_database.until(OPEN, [each.id for each in sent], is_=0, within=scenario.scale.deadline)
