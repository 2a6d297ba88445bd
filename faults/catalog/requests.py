"""Send requests to a dying API, fifty identical ones, and an oversized one."""

import asyncio

from faults.catalog.table import fault
from faults.scenario import Scenario
from faults.type_specs import RECONCILE_EMAIL, WEBHOOK

IDENTICAL_REQUESTS = 50
ROWS = "SELECT idempotency_key AS key, id::text FROM notification WHERE idempotency_key = ANY($1) AND tenant = $2"
# The beginning only: Postgres truncates long statements.
INSERT_PATTERN = "%WITH item AS%idempotency_key text%"
TENANT = "SELECT id FROM tenant WHERE key = 'demo'"


@fault
async def api_killed_between_commit_and_response(scenario: Scenario) -> None:
    """Kill the API with -9 after the commit and before the response: the repeated request returns the same row."""
    tenant, demo = scenario.load_generator.tenants[0], await scenario.stack_database.one(TENANT)
    messages = [scenario.load_generator.message(RECONCILE_EMAIL, 0, "") for _ in range(scenario.scale.burst)]
    keys = [key for _, key in messages]
    with scenario.servers.proxies["api to postgres"].commits_unanswered() as begin:
        async with scenario.stack_database.locked("notification"):
            pending = [asyncio.create_task(tenant.send_until_accepted(key, body)) for body, key in messages]
            await scenario.stack_database.waiting("notification", len(keys), INSERT_PATTERN)
            begin()
        await scenario.stack_database.until_true(lambda: _committed(scenario, keys, demo, len(keys)), within=15)
        assert not any(task.done() for task in pending), "a request got a response"
        await scenario.stack_process("api").kill()
    committed = {row["key"]: row["id"] for row in await scenario.stack_database.rows(ROWS, keys, demo)}
    await scenario.stack_process("api").start()
    accepted = dict(zip(keys, await asyncio.gather(*pending), strict=True))
    assert accepted == committed, "a repeated request created another notification"


async def _committed(scenario: Scenario, keys: list[str], tenant: object, count: int) -> bool:
    return len(await scenario.stack_database.rows(ROWS, keys, tenant)) == count


@fault
async def api_killed(scenario: Scenario) -> None:
    """Kill the API with -9 while requests arrive, and start it again."""
    pending = asyncio.create_task(scenario.load_generator.burst(scenario.scale.burst * 2, RECONCILE_EMAIL, 1))
    await scenario.load_generator.send(WEBHOOK)
    await scenario.stack_process("api").kill()
    await scenario.stack_process("api").start()
    await pending


@fault
async def identical_requests(scenario: Scenario) -> None:
    """Send fifty identical requests at once: one notification exists."""
    tenant = scenario.load_generator.tenants[1]
    body, key = scenario.load_generator.message(RECONCILE_EMAIL, 1, "")
    ids = await asyncio.gather(*(tenant.send_until_accepted(key, body) for _ in range(IDENTICAL_REQUESTS)))
    assert len(set(ids)) == 1, f"{IDENTICAL_REQUESTS} identical requests made {len(set(ids))} notifications"


@fault
async def two_megabytes(scenario: Scenario) -> None:
    """Send a payload of two megabytes, alone and among others: it is refused and leaves no row."""
    tenant = scenario.load_generator.tenants[0]
    small, key = scenario.load_generator.message(RECONCILE_EMAIL, 0, "")
    large = {**scenario.load_generator.message(RECONCILE_EMAIL, 0, "")[0], "payload": {"name": "x" * 2_000_000}}
    alone = await tenant.http.post("/notifications/send", json=large, headers={"Idempotency-Key": f"{key}-large"})
    assert alone.status_code == 413, alone.status_code
    items = [{**large, "idempotency_key": f"{key}-among"}, {**small, "idempotency_key": key}]
    response = await tenant.ok("POST", "/notifications/send-batch", {"items": items})
    assert [item["status"] for item in response["items"]] == [413, 202]
    tenant.answers[key] = {response["items"][1]["id"]}
    rows = await scenario.stack_database.rows(
        ROWS, [f"{key}-large", f"{key}-among"], await scenario.stack_database.one(TENANT)
    )
    assert rows == [], f"refused, but stored: {rows}"
