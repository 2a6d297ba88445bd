"""Restart, exhaust and disconnect Postgres."""

import asyncio

from faults.catalog.table import fault
from faults.catalog.workers import burst_in_flight, send_sms_burst
from faults.pace import wait_seconds
from faults.scenario import Scenario
from faults.type_specs import RECONCILE_EMAIL


async def pg_ctl(scenario: Scenario, *order: str) -> None:
    """Run pg_ctl on the stack's cluster, with the account that owns it."""
    cluster = scenario.servers.cluster
    program = (*cluster.account.prefix, str(cluster.binaries / "pg_ctl"), "-D", str(cluster.data), *order)
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.DEVNULL, cwd=cluster.home)
    assert await process.wait() == 0, f"pg_ctl {' '.join(order)}: exit code {process.returncode}"


@fault
async def postgres_restarted(scenario: Scenario) -> None:
    """Run `pg_ctl -m immediate stop` under load, and start Postgres with recovery."""
    postgres = scenario.stack_process("postgres")
    sending = asyncio.create_task(scenario.load_generator.burst(scenario.scale.burst, RECONCILE_EMAIL))
    await send_sms_burst(scenario)
    postgres.stop_watching()
    await pg_ctl(scenario, "-m", "immediate", "stop")
    await postgres.process.wait()
    await wait_seconds(1)
    await postgres.start()
    await sending


@fault
async def connections_exhausted(scenario: Scenario) -> None:
    """Occupy every connection of Postgres for a few seconds."""
    await send_sms_burst(scenario)
    taken = await scenario.stack_database.take_all_connections()
    sending = asyncio.create_task(scenario.load_generator.burst(scenario.scale.burst, RECONCILE_EMAIL))
    await wait_seconds(scenario.scale.moment)
    await asyncio.gather(*(connection.close() for connection in taken))
    await sending


@fault
async def postgres_cut_off_after_the_response(scenario: Scenario) -> None:
    """Disconnect the workers from Postgres while the vendor holds its responses: they are recorded later."""
    async with burst_in_flight(scenario):
        with scenario.servers.proxies["workers to postgres"].cut():
            await scenario.vendor_control.send_command(release=True)
            await wait_seconds(2)


@fault
async def postgres_silent(scenario: Scenario) -> None:
    """Drop everything that Postgres sends to the workers for some seconds; no connection breaks."""
    sent = await send_sms_burst(scenario)
    with scenario.servers.proxies["workers to postgres"].dead():
        await wait_seconds(scenario.scale.moment + 2)
    assert sent
