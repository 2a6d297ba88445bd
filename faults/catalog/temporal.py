"""Kill, stop and disconnect Temporal, and delete its store."""

from embedded.temporary_servers import temporary_temporal
from faults.catalog.table import fault, outage
from faults.pace import wait_seconds
from faults.scenario import Scenario
from faults.type_specs import ESCALATION, RECONCILE_EMAIL, RECONCILE_SMS, WEBHOOK

ADOPTED = "SELECT namespace_id FROM engine_state"
OTHER_SEEN = "SELECT other_since IS NOT NULL FROM engine_state"
# As if some minutes had passed: workflows started at the wrong address are looked up.
MINUTES_LATER = (
    "UPDATE engine_state SET other_seen_at = other_seen_at - interval '2 minutes'",
    "UPDATE queue_entry SET next_at = now() WHERE state IN ('started', 'waiting')",
)


@fault
async def temporal_at_a_wrong_address(scenario: Scenario) -> None:
    """Point Temporal's address to another server: nothing is started again there, and new sends go out afterwards."""
    home, adopted = scenario.servers.home / "other", await scenario.stack_database.one(ADOPTED)
    home.mkdir(exist_ok=True)
    await scenario.load_generator.burst(scenario.scale.burst, ESCALATION)
    async with temporary_temporal(home) as other:
        with scenario.servers.proxies["to temporal"].leading_to(other.port):
            await scenario.load_generator.burst(scenario.scale.burst, RECONCILE_SMS, 1)
            await scenario.stack_database.until_true(lambda: scenario.stack_database.one(OTHER_SEEN), within=30)
            await wait_seconds(scenario.scale.moment)
    await scenario.stack_database.until_true(lambda: _sees(scenario, adopted), within=60)
    for statement in MINUTES_LATER:
        await scenario.stack_database.rows(statement)


async def _sees(scenario: Scenario, adopted: str) -> bool:
    """Return whether all processes use the adopted store again, and no other one was adopted in between."""
    assert await scenario.stack_database.one(ADOPTED) == adopted
    return not await scenario.stack_database.one(OTHER_SEEN)


@fault
async def temporal_killed(scenario: Scenario) -> None:
    """Kill Temporal with -9 under load, and start it again."""
    await scenario.load_generator.burst(scenario.scale.burst, RECONCILE_EMAIL)
    await scenario.stack_process("temporal").kill()
    await scenario.load_generator.burst(scenario.scale.burst, RECONCILE_SMS, 1)
    await scenario.stack_process("temporal").start()


@outage
async def temporal_down(scenario: Scenario) -> None:
    """Stop Temporal for 20 s, minutes in the long run: every send is accepted."""
    await scenario.load_generator.burst(scenario.scale.burst, ESCALATION)
    await scenario.stack_process("temporal").kill()
    await scenario.load_generator.burst(scenario.scale.burst, RECONCILE_EMAIL, 1)
    await wait_seconds(scenario.scale.outage)
    await scenario.stack_process("temporal").start()


@fault
async def temporal_store_deleted(scenario: Scenario) -> None:
    """Kill Temporal and delete its store, with workflows that wait, retry and are in flight."""
    await scenario.load_generator.burst(scenario.scale.burst, ESCALATION, word="silent")
    await scenario.load_generator.burst(scenario.scale.burst, WEBHOOK, 1, "flaky")
    await scenario.load_generator.burst(scenario.scale.burst, RECONCILE_SMS)
    await scenario.stack_process("temporal").kill()
    scenario.servers.delete_temporal_store()
    await scenario.stack_process("temporal").start()


@fault
async def temporal_cut_off(scenario: Scenario) -> None:
    """Break the connection to Temporal for a moment, and slow it down afterwards."""
    wire = scenario.servers.proxies["to temporal"]
    await scenario.load_generator.burst(scenario.scale.burst, RECONCILE_EMAIL)
    with wire.cut():
        await scenario.load_generator.burst(scenario.scale.burst, RECONCILE_SMS, 1)
        await wait_seconds(scenario.scale.moment)
    with wire.slow(0.05):
        await wait_seconds(scenario.scale.moment)
