"""Restore Postgres from a backup, with a Temporal and vendors that have newer data."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from commands.holds import release_and_describe
from config import Settings
from embedded.postgres import DATABASE_NAME
from faults.catalog.table import fault
from faults.load_generator import GeneratedSend
from faults.scenario import Scenario
from faults.servers import Servers
from faults.type_specs import PASSWORD, RECONCILE_EMAIL, RECONCILE_SMS, RESEND_SMS
from tests.polling import eventually

CHANNELS = ("email", "sms")
KINDS = (RECONCILE_SMS, RECONCILE_EMAIL, RESEND_SMS, PASSWORD)
HELD = """
SELECT count(DISTINCT notification_id) FROM delivery WHERE notification_id::text = ANY($1) AND held_at IS NOT NULL
"""
STATUSES = "SELECT id::text, status FROM notification WHERE id::text = ANY($1)"
# The final statuses that each guarantee allows for notifications sent between backup and restore, and how many messages
# the vendor may have.
SENT_BEFORE: dict[str, tuple[set[str], set[int]]] = {
    RECONCILE_SMS.key: ({"SENT", "DELIVERED"}, {1}),
    RECONCILE_EMAIL.key: ({"SENT", "DELIVERED", "IN_DOUBT"}, {1}),
    RESEND_SMS.key: ({"SENT", "DELIVERED"}, {1, 2}),
    PASSWORD.key: ({"IN_DOUBT", "SENT", "DELIVERED"}, {1}),
}
# The same for notifications that were not sent: only a lookup at the vendor, or a repetition, lets them be sent.
NOT_SENT_BEFORE: dict[str, tuple[set[str], set[int]]] = {
    RECONCILE_SMS.key: ({"SENT", "DELIVERED"}, {1}),
    RECONCILE_EMAIL.key: ({"IN_DOUBT"}, {0}),
    RESEND_SMS.key: ({"SENT", "DELIVERED"}, {1}),
    PASSWORD.key: ({"IN_DOUBT"}, {0}),
}


@fault
async def restored_from_a_backup(scenario: Scenario) -> None:
    """Restore Postgres to an older backup: everything is held until released, then each guarantee decides."""
    scenario.background_load.pause()
    await scenario.background_load.wait_for_responses()
    await scenario.wait_until_all_ended()
    sent, unsent = [await _held(scenario, tenant) for tenant in (0, 1)]
    dump = scenario.servers.home / "restored.dump"
    await _run(scenario.servers, "pg_dump", "--format=custom", f"--file={dump}", DATABASE_NAME)
    await _lose_what_is_accepted_now(scenario)
    await _pause(scenario, 0, "resume")
    await scenario.stack_database.until(
        "SELECT count(*) FROM notification WHERE id::text = ANY($1) AND finished_at IS NULL",
        [each.id for each in sent],
        is_=0,
        within=scenario.scale.deadline,
    )
    processes = [*scenario.servers.workers, scenario.stack_process("api")]
    await asyncio.gather(*(stack_process.stop() for stack_process in processes))
    await _restore(scenario.servers, dump)
    await _start_held(scenario, sent, unsent)
    for tenant in (0, 1):
        await _pause(scenario, tenant, "resume")
    await scenario.wait_until_all_ended()
    scenario.checks["restored: each guarantee decides"] = lambda: _wrong(scenario, sent, unsent)
    scenario.background_load.resume()


async def _held(scenario: Scenario, tenant: int) -> list[GeneratedSend]:
    """Accept and hold sends, so that they are open in the backup."""
    await _pause(scenario, tenant, "pause")
    few = max(2, scenario.scale.burst // 4)
    bursts = [await scenario.load_generator.burst(few, type_spec, tenant, "silent") for type_spec in KINDS]
    sent = [each for burst in bursts for each in burst]
    await scenario.stack_database.until(HELD, [each.id for each in sent], is_=len(sent), within=60)
    return sent


async def _lose_what_is_accepted_now(scenario: Scenario) -> None:
    """Accept sends after the backup: their rows are lost, and their workflows wait for a release that cannot come."""
    ids = []
    for _ in range(2):
        body, _ = scenario.load_generator.message(RECONCILE_SMS, 1, "silent")
        ids.append((await scenario.load_generator.tenants[1].ok("POST", "/notifications/send", body))["id"])
    await scenario.stack_database.until(HELD, ids, is_=len(ids), within=60)

    async def find_unlogged() -> list[str]:
        logs = "".join(worker.child.log.read_text() for worker in scenario.servers.workers)
        lines = [line for line in logs.splitlines() if "unknown to the restored database" in line]
        return [id for id in ids if not any(id in line for line in lines)]

    scenario.checks["restored: lost notifications are named in a log"] = find_unlogged


async def _pause(scenario: Scenario, tenant: int, order: str) -> None:
    for channel in CHANNELS:
        await scenario.load_generator.tenants[tenant].ok("POST", f"/channels/{channel}/{order}")


async def _restore(servers: Servers, dump: Path) -> None:
    await _run(servers, "dropdb", "--force", DATABASE_NAME)
    await _run(servers, "createdb", DATABASE_NAME)
    await _run(servers, "pg_restore", "--exit-on-error", f"--dbname={DATABASE_NAME}", str(dump))


async def _run(servers: Servers, program: str, *arguments: str) -> None:
    """Run one of Postgres' own programs, as its superuser."""
    port = servers.info.database_url.rpartition(":")[2].partition("/")[0]
    cluster = servers.cluster
    environment = {**os.environ, "PGPASSWORD": cluster.password, "PGHOST": "127.0.0.1", "PGPORT": port}
    process = await asyncio.create_subprocess_exec(
        str(cluster.binaries / program), "--username=postgres", *arguments, env=environment
    )
    assert await process.wait() == 0, f"{program}: exit code {process.returncode}"


async def _start_held(scenario: Scenario, sent: Sequence[GeneratedSend], unsent: Sequence[GeneratedSend]) -> None:
    """Start with a hold name that no backup of this run has. Nothing is sent until it is released."""
    servers, name = scenario.servers, f"restore-{scenario.rand.getrandbits(32):08x}"
    processes = [scenario.stack_process("api"), *servers.workers]
    for stack_process in processes:
        env = {**(stack_process.child.env or {}), "TOCSIN_HOLD_ON_START": name}
        stack_process.child = replace(stack_process.child, env=env)
    before = len(servers.vendor_control.calls_and_messages())
    await processes[0].start()
    starting = asyncio.gather(*(worker.start() for worker in servers.workers))
    await eventually(lambda: _held_workers(servers, name), lambda count: count == len(servers.workers), 60)
    http = scenario.load_generator.tenants[0].http
    ready = (await http.get(f"{servers.info.api_url}/readyz")).json()
    assert ready["hold"]["name"] == name, ready
    during = await scenario.load_generator.burst(2, RECONCILE_SMS, 0, "silent")
    assert len(servers.vendor_control.calls_and_messages()) == before, "a message was sent while everything was held"
    settings = Settings(env="dev", database_url=servers.info.database_url, _env_file=None)
    scenario.notes.append(await release_and_describe(settings, name))
    await starting

    async def lost() -> list[str]:
        """Return the sends that were accepted during the hold and do not have exactly one message."""
        return [sent.id for sent in during if await _messages(scenario, sent) != 1]

    scenario.checks["restored: sends accepted during the hold are sent once"] = lost


async def _held_workers(servers: Servers, name: str) -> int:
    logs = [worker.child.log.read_text() for worker in servers.workers]
    return sum(f'"hold": "{name}"' in log for log in logs)


async def _wrong(scenario: Scenario, sent: Sequence[GeneratedSend], unsent: Sequence[GeneratedSend]) -> list[Any]:
    rows = await scenario.stack_database.rows(STATUSES, [each.id for each in (*sent, *unsent)])
    statuses = {row["id"]: row["status"] for row in rows}
    wrong = []
    for each, allowed in [*((one, SENT_BEFORE) for one in sent), *((one, NOT_SENT_BEFORE) for one in unsent)]:
        ends, counts = allowed[each.type_spec.key]
        status, count = statuses.get(each.id), await _messages(scenario, each)
        if status not in ends or count not in counts:
            wrong.append({"id": each.id, "kind": each.type_spec.key, "status": status, "messages": count})
    return wrong


def _address(scenario: Scenario, sent: GeneratedSend) -> str:
    recipient = scenario.load_generator.tenants[sent.tenant].bodies[sent.key]["recipient"]
    return str(recipient["email" if sent.type_spec is RECONCILE_EMAIL else "phone"])


async def _messages(scenario: Scenario, sent: GeneratedSend) -> int:
    """Count the vendors' messages for this recipient, who gets no others."""
    to = _address(scenario, sent)
    return sum(entry["kind"] == "kept" and entry["to"] == to for entry in scenario.vendor_control.calls_and_messages())
