"""Run one seed: send all types, inject its faults, wait until everything ends, and check the invariants."""

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

from dispatch.temporal.connection import connect
from faults.background_load import running_background_load
from faults.catalog import FAULTS
from faults.invariants import EVERY_NOTIFICATION_ENDS, broken, figures
from faults.load_generator import LoadGenerator, open_load_generator
from faults.resource_leaks import ResourceUsage, finds_no_ids, leaks_in, resource_usage
from faults.scenario import OPEN, FaultScale, Scenario
from faults.servers import SHORT_TIMEOUT_WORKER, Servers, running_servers
from faults.stack_database import StackDatabase
from faults.type_specs import TYPE_SPECS
from tests.polling import eventually

BACKGROUND_RATE = 12.0  # messages per second throughout the run
STUCK = f"SELECT id::text, status FROM ({EVERY_NOTIFICATION_ENDS}) still_open"
# An early or repeated receipt is checked again after 1, 2, 4 … s.
UNAPPLIED = """
SELECT count(*) FROM receipt r JOIN attempt a ON a.provider = r.provider AND (a.id = r.attempt_id
       OR (r.attempt_id IS NULL AND a.provider_message_id = r.provider_message_id)) WHERE r.applied_at IS NULL
"""
UNPOSTED = "SELECT count(*) FROM sandbox_receipt WHERE posted_at IS NULL"
RUNNING = "ExecutionStatus = 'Running' AND WorkflowType = 'NotificationWorkflow'"
FAULT_ERRORS = (AssertionError, OSError, TimeoutError, httpx2.HTTPError, asyncpg.PostgresError, asyncpg.InterfaceError)
SETTLE_TIMEOUT = 30.0
ROWS_SHOWN = 5  # offending rows of a broken invariant


@dataclass(frozen=True, kw_only=True)
class FaultEnvironment:
    """Hold ready servers and senders. `initial_usage` are the resources of the processes after their first messages."""

    servers: Servers
    stack_database: StackDatabase
    load_generator: LoadGenerator
    initial_usage: ResourceUsage


@dataclass(kw_only=True)
class FaultRunResult:
    """Hold the result of one seed. `broken` is empty when every invariant held."""

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
async def running_environment(
    home: Path, program: tuple[str, ...] = SHORT_TIMEOUT_WORKER, temporal: Path | None = None
) -> AsyncIterator[FaultEnvironment]:
    """Start the servers and deliver one message of each type, so that every process has done its work once."""
    async with (
        running_servers(home, program, temporal=temporal) as servers,
        open_load_generator(servers) as load_generator,
    ):
        stack_database = StackDatabase(servers.info.database_url)
        try:
            for tenant in range(len(load_generator.tenants)):
                await asyncio.gather(
                    *(load_generator.send(type_spec, tenant) for type_spec in TYPE_SPECS if type_spec.share)
                )
            await stack_database.until(OPEN, is_=0, within=60)
            yield FaultEnvironment(
                servers=servers,
                stack_database=stack_database,
                load_generator=load_generator,
                initial_usage=await resource_usage(servers, stack_database),
            )
        finally:
            await stack_database.close()


async def run_faults(
    environment: FaultEnvironment, seed: int, names: Sequence[str], scale: FaultScale
) -> FaultRunResult:
    """Run the faults in this order. Everything else depends on the seed."""
    began, rand = time.monotonic(), Random(seed)
    result = FaultRunResult(seed=seed, faults=list(names))
    before = await _figures(environment)
    known, deaths = len(environment.load_generator.accepted_ids), len(environment.servers.deaths)
    async with running_background_load(
        lambda: environment.load_generator.send_random_type(rand), BACKGROUND_RATE, rand, scale.background_load
    ) as background_load:
        scenario = Scenario(
            servers=environment.servers,
            stack_database=environment.stack_database,
            load_generator=environment.load_generator,
            background_load=background_load,
            rand=rand,
            scale=scale,
        )
        for name in names:
            await _run_fault(scenario, name, result)
        await background_load.wait_until_all_started()
    await _wait_for_end(environment, scenario, result)
    result.broken |= await _broken_promises(environment, scenario, result)
    for cleanup in scenario.cleanups:
        await cleanup()
    after = await _figures(environment)
    result.accepted = len(environment.load_generator.accepted_ids) - known
    result.sends, result.unknown, result.repeated, result.in_doubt = (
        after[name] - before[name] for name in ("sends", "unknown", "repeated", "in_doubt")
    )
    result.notes += [*scenario.notes, *environment.servers.deaths[deaths:]]
    result.seconds = time.monotonic() - began
    return result


async def _run_fault(scenario: Scenario, name: str, result: FaultRunResult) -> None:
    """Run one fault. If it fails, record that and continue, to see whether anything was lost."""
    try:
        # A circuit opened by another fault would block the calls to a faulty vendor.
        await scenario.close_circuits()
        await FAULTS[name](scenario)
    except FAULT_ERRORS as error:
        result.broken[name] = [f"{type(error).__name__}: {error}"]
        await scenario.servers.restart_dead_processes()
        scenario.background_load.resume()


async def _wait_for_end(environment: FaultEnvironment, scenario: Scenario, result: FaultRunResult) -> None:
    """Wait until no step is open and every receipt is applied."""
    try:
        await environment.stack_database.until(OPEN, is_=0, within=scenario.scale.deadline)
        await environment.servers.vendor_control.wait_until_reported()
        await environment.stack_database.until(UNPOSTED, is_=0, within=SETTLE_TIMEOUT)
        await environment.stack_database.until(UNAPPLIED, is_=0, within=SETTLE_TIMEOUT)
        client = await connect(environment.servers.info.temporal_address, "default", lazy=False)
        await eventually(lambda: _still_running(client), lambda count: count == 0, SETTLE_TIMEOUT)
    except AssertionError as error:
        stuck = await environment.stack_database.rows(STUCK)
        result.stuck = len(stuck)
        result.broken["I2 every notification ends"] = [str(error), *stuck]


async def _still_running(client: Client) -> int:
    try:
        return (await client.count_workflows(RUNNING)).count
    except RPCError:
        return -1


async def _broken_promises(
    environment: FaultEnvironment, scenario: Scenario, result: FaultRunResult
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = dict(
        await broken(environment.stack_database.rows, environment.servers.vendor_control.calls_and_messages())
    )
    for name, check in scenario.checks.items():
        found[name] = list(await check())
    found["I1 a repeated key returns the same notification"] = await environment.load_generator.find_differing_repeats(
        scenario.rand
    )
    found["I1 every accepted id has a row"] = await _missing_rows(environment)
    found["I7 no id is readable by another tenant"] = await _foreign_responses(environment, scenario.rand)
    found["I9 no personal data in logs or in Temporal's store"] = leaks_in(environment.servers.home)
    if finds_no_ids(environment.servers, list(environment.load_generator.sent)[-ROWS_SHOWN:]):
        found["I9 no personal data in logs or in Temporal's store"].append(
            "the search does not find the ids that must be there"
        )
    found["every receipt is accepted"] = (await environment.servers.vendor_control.send_command())["complaints"]
    return {name: rows for name, rows in found.items() if rows}


async def _missing_rows(environment: FaultEnvironment) -> list[str]:
    rows = await environment.stack_database.rows("SELECT id::text FROM notification")
    return sorted(environment.load_generator.accepted_ids - {row["id"] for row in rows})


async def _foreign_responses(environment: FaultEnvironment, rand: Random) -> list[str]:
    """Return requests with another tenant's key that do not get 404."""
    seen = []
    for sent in rand.sample(list(environment.load_generator.sent.values()), ROWS_SHOWN):
        foreign_tenant = environment.load_generator.tenants[1 - sent.tenant]
        for method, path in (("GET", f"/notifications/{sent.id}"), ("POST", f"/notifications/{sent.id}/cancel")):
            status = (await foreign_tenant.http.request(method, path)).status_code
            if status != 404:
                seen.append(f"{method} {path}: {status}")
    return seen


async def _figures(environment: FaultEnvironment) -> dict[str, int]:
    return await figures(environment.stack_database.rows, environment.servers.vendor_control.calls_and_messages())
