"""Requests that meet a dying API, fifty twins, or their own size."""

import asyncio

from tests.faults.acts.table import fault
from tests.faults.kinds import ASK_MAIL, HOOK
from tests.faults.scene import Scene

TWINS = 50
ROWS = "SELECT idempotency_key AS key, id::text FROM notification WHERE idempotency_key = ANY($1) AND tenant = $2"
# Its beginning: Postgres shows no more of a long statement.
THE_INSERT = "%WITH item AS%idempotency_key text%"
TENANT = "SELECT id FROM tenant WHERE key = 'demo'"


@fault
async def api_killed_between_commit_and_answer(scene: Scene) -> None:
    """The API killed with -9 when the rows are committed and nobody has been told: asked again, it is the same row."""
    tenant, demo = scene.crowd.tenants[0], await scene.books.one(TENANT)
    asks = [scene.crowd.message(ASK_MAIL, 0, "") for _ in range(scene.scale.burst)]
    keys = [key for _, key in asks]
    with scene.servers.wires["api to postgres"].commits_unanswered() as begin:
        async with scene.books.locked("notification"):
            asking = [asyncio.create_task(tenant.ask(key, body)) for body, key in asks]
            await scene.books.waiting("notification", len(keys), THE_INSERT)
            begin()
        await scene.books.until_true(lambda: _committed(scene, keys, demo, len(keys)), within=15)
        assert not any(task.done() for task in asking), "somebody was answered"
        await scene.part("api").kill()
    committed = {row["key"]: row["id"] for row in await scene.books.rows(ROWS, keys, demo)}
    await scene.part("api").start()
    answered = dict(zip(keys, await asyncio.gather(*asking), strict=True))
    assert answered == committed, "a repeated request is another notification"


async def _committed(scene: Scene, keys: list[str], tenant: object, count: int) -> bool:
    return len(await scene.books.rows(ROWS, keys, tenant)) == count


@fault
async def api_killed(scene: Scene) -> None:
    """The API killed with -9 while requests come in, and started again."""
    asking = asyncio.create_task(scene.crowd.burst(scene.scale.burst * 2, ASK_MAIL, 1))
    await scene.crowd.send(HOOK)
    await scene.part("api").kill()
    await scene.part("api").start()
    await asking


@fault
async def identical_requests(scene: Scene) -> None:
    """Fifty identical requests at once are one notification."""
    tenant = scene.crowd.tenants[1]
    body, key = scene.crowd.message(ASK_MAIL, 1, "")
    ids = await asyncio.gather(*(tenant.ask(key, body) for _ in range(TWINS)))
    assert len(set(ids)) == 1, f"{TWINS} identical requests made {len(set(ids))} notifications"


@fault
async def two_megabytes(scene: Scene) -> None:
    """A payload of two megabytes is refused, alone and among others, and leaves no row."""
    tenant = scene.crowd.tenants[0]
    small, key = scene.crowd.message(ASK_MAIL, 0, "")
    large = {**scene.crowd.message(ASK_MAIL, 0, "")[0], "payload": {"name": "x" * 2_000_000}}
    alone = await tenant.http.post("/notifications/send", json=large, headers={"Idempotency-Key": f"{key}-large"})
    assert alone.status_code == 413, alone.status_code
    items = [{**large, "idempotency_key": f"{key}-among"}, {**small, "idempotency_key": key}]
    answer = await tenant.ok("POST", "/notifications/send-batch", {"items": items})
    assert [item["status"] for item in answer["items"]] == [413, 202]
    tenant.answers[key] = {answer["items"][1]["id"]}
    rows = await scene.books.rows(ROWS, [f"{key}-large", f"{key}-among"], await scene.books.one(TENANT))
    assert rows == [], f"refused, and there all the same: {rows}"
