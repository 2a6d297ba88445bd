"""Requests that meet a dying API, fifty twins, or their own size."""

import asyncio

from tests.faults.catalog.table import fault
from tests.faults.scenario import Scenario
from tests.faults.type_specs import RECONCILE_EMAIL, WEBHOOK

IDENTICAL_REQUESTS = 50
ROWS = "SELECT idempotency_key AS key, id::text FROM notification WHERE idempotency_key = ANY($1) AND tenant = $2"
# Its beginning: Postgres shows no more of a long statement.
INSERT_PATTERN = "%WITH item AS%idempotency_key text%"
TENANT = "SELECT id FROM tenant WHERE key = 'demo'"


@fault
async def api_killed_between_commit_and_answer(scenario: Scenario) -> None:
    """The API killed with -9 when the rows are committed and nobody has been told: asked again, it is the same row."""
    tenant, demo = scenario.load_generator.tenants[0], await scenario.stack_database.one(TENANT)
    asks = [scenario.load_generator.message(RECONCILE_EMAIL, 0, "") for _ in range(scenario.scale.burst)]
    keys = [key for _, key in asks]
    with scenario.servers.proxies["api to postgres"].commits_unanswered() as begin:
        async with scenario.stack_database.locked("notification"):
            asking = [asyncio.create_task(tenant.send_until_accepted(key, body)) for body, key in asks]
            await scenario.stack_database.waiting("notification", len(keys), INSERT_PATTERN)
            begin()
        await scenario.stack_database.until_true(lambda: _committed(scenario, keys, demo, len(keys)), within=15)
        assert not any(task.done() for task in asking), "somebody was answered"
        await scenario.stack_process("api").kill()
    committed = {row["key"]: row["id"] for row in await scenario.stack_database.rows(ROWS, keys, demo)}
    await scenario.stack_process("api").start()
    answered = dict(zip(keys, await asyncio.gather(*asking), strict=True))
    assert answered == committed, "a repeated request is another notification"


async def _committed(scenario: Scenario, keys: list[str], tenant: object, count: int) -> bool:
    return len(await scenario.stack_database.rows(ROWS, keys, tenant)) == count


@fault
async def api_killed(scenario: Scenario) -> None:
    """The API killed with -9 while requests come in, and started again."""
    asking = asyncio.create_task(scenario.load_generator.burst(scenario.scale.burst * 2, RECONCILE_EMAIL, 1))
    await scenario.load_generator.send(WEBHOOK)
    await scenario.stack_process("api").kill()
    await scenario.stack_process("api").start()
    await asking


@fault
async def identical_requests(scenario: Scenario) -> None:
    """Fifty identical requests at once are one notification."""
    tenant = scenario.load_generator.tenants[1]
    body, key = scenario.load_generator.message(RECONCILE_EMAIL, 1, "")
    ids = await asyncio.gather(*(tenant.send_until_accepted(key, body) for _ in range(IDENTICAL_REQUESTS)))
    assert len(set(ids)) == 1, f"{IDENTICAL_REQUESTS} identical requests made {len(set(ids))} notifications"


@fault
async def two_megabytes(scenario: Scenario) -> None:
    """A payload of two megabytes is refused, alone and among others, and leaves no row."""
    tenant = scenario.load_generator.tenants[0]
    small, key = scenario.load_generator.message(RECONCILE_EMAIL, 0, "")
    large = {**scenario.load_generator.message(RECONCILE_EMAIL, 0, "")[0], "payload": {"name": "x" * 2_000_000}}
    alone = await tenant.http.post("/notifications/send", json=large, headers={"Idempotency-Key": f"{key}-large"})
    assert alone.status_code == 413, alone.status_code
    items = [{**large, "idempotency_key": f"{key}-among"}, {**small, "idempotency_key": key}]
    answer = await tenant.ok("POST", "/notifications/send-batch", {"items": items})
    assert [item["status"] for item in answer["items"]] == [413, 202]
    tenant.answers[key] = {answer["items"][1]["id"]}
    rows = await scenario.stack_database.rows(
        ROWS, [f"{key}-large", f"{key}-among"], await scenario.stack_database.one(TENANT)
    )
    assert rows == [], f"refused, and there all the same: {rows}"
