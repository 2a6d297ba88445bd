"""Test how a tenant's slow templates and schemas affect other tenants, and what is refused afterwards."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from domain.json_types import JsonValue
from rendering import pool, renderer, schema_checks
from rendering.failures import QUARANTINED
from rendering.fair_queue import RenderQueueFull
from rendering.messages import RenderedContent, RenderFailure
from rendering.process import ChildProcess
from rendering.renderer import Renderer
from rendering.schema_bounds import BoundedSchema
from rendering.schema_checks import PayloadChecks, check_schema
from tests.polling import wait_until
from tests.rendering import proc
from tests.rendering.sources import sms

SLOW = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
STOPPED = RenderFailure(reason="took longer than 1 s")
REFUSED = RenderFailure(reason=QUARANTINED)
# Look-around restarts at each character: 7 µs each, with a long text.
SLOW_SCHEMA = BoundedSchema(
    text=json.dumps({"allOf": [{"not": {"pattern": f"(?=a)(a+)+{n}$"}} for n in range(90)]}), cost=1
)
SLOW_PAYLOAD = json.dumps("a" * 20_000)


@pytest.fixture
async def own() -> AsyncIterator[Renderer]:
    async with Renderer() as own:
        yield own


async def can_render(own: Renderer, tenant: UUID) -> bool:
    return await own.render(sms("{{ 1 }}"), {}, "en", tenant=tenant) == RenderedContent(content={"text": "1"})


async def test_a_tenant_with_many_slow_templates_leaves_a_child_to_the_others(own: Renderer) -> None:
    busy_tenant = uuid4()
    slow = [
        asyncio.create_task(own.render(sms(f"{number}{SLOW}"), {}, "en", tenant=busy_tenant))
        for number in range(pool.WAITING_LIMIT)
    ]
    await wait_until(lambda: len(own._pool._queue._occupied) == 1)
    begun = time.monotonic()
    for _ in range(20):
        assert await can_render(own, uuid4())
    assert time.monotonic() - begun < 15  # 4 ms; after the slow ones it would be 20 s
    assert sum(task.done() for task in slow) < 16
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_a_template_that_was_stopped_twice_is_refused_without_a_child(own: Renderer) -> None:
    tenant = uuid4()
    results = [await own.render(sms(SLOW), {"n": n}, "en", tenant=tenant) for n in range(2)]
    before = proc.renderers(os.getpid())
    begun = time.monotonic()
    results += [await own.render(sms(SLOW), {"n": n}, "en", tenant=tenant) for n in range(50)]
    assert time.monotonic() - begun < 1
    assert results == [STOPPED] * 2 + [REFUSED] * 50
    await wait_until(lambda: len(proc.renderers(os.getpid())) >= len(before))
    assert await can_render(own, tenant)
    assert await own.inspect(sms(SLOW), tenant=tenant) == REFUSED
    assert await own.inspect(sms(SLOW), tenant=uuid4()) != REFUSED


async def test_calls_that_wait_behind_the_second_stop_are_refused_too(own: Renderer) -> None:
    tenant = uuid4()
    begun = time.monotonic()
    results = await asyncio.gather(*(own.render(sms(SLOW), {}, "en", tenant=tenant) for _ in range(30)))
    assert results == [STOPPED] * results.count(STOPPED) + [REFUSED] * results.count(REFUSED)
    assert results.count(STOPPED) < 5  # 2; a stop counts only if the child had a CPU
    assert time.monotonic() - begun < 15


async def test_a_starved_child_does_not_count_against_its_template(
    own: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer, "STARVED_CPU_SECONDS", 9)
    monkeypatch.setattr(renderer, "CALL_SECONDS", 0.2)
    monkeypatch.setattr(renderer, "STARVED_EXTRA_SECONDS", 0.2)
    tenant = uuid4()
    assert [await own.render(sms(SLOW), {}, "en", tenant=tenant) for _ in range(3)] == [STOPPED] * 3


async def test_a_starved_child_gets_more_time(own: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "STARVED_CPU_SECONDS", 9)
    monkeypatch.setattr(renderer, "CALL_SECONDS", 0.11)
    monkeypatch.setattr(renderer, "STARVED_EXTRA_SECONDS", 20)
    body = "{% for a in range(2000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}1"  # 0.2 s
    assert await own.render(sms(body), {}, "en", tenant=uuid4()) == RenderedContent(content={"text": "1"})


async def test_a_tenant_with_too_many_waiting_is_refused_at_once(
    own: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = uuid4()
    calls = [asyncio.create_task(own.render(sms("x"), {}, "en", tenant=tenant)) for _ in range(pool.WAITING_LIMIT + 2)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [RenderedContent] * pool.WAITING_LIMIT + [RenderQueueFull] * 2
    assert await can_render(own, tenant)
    running = asyncio.create_task(own.render(sms(SLOW), {}, "en", tenant=tenant))
    await wait_until(lambda: own._pool._queue._occupied[tenant] == 1)
    monkeypatch.setattr(pool, "WAIT_SECONDS", 0.05)
    with pytest.raises(RenderQueueFull):
        await own.render(sms("x"), {}, "en", tenant=tenant)
    assert await running == STOPPED


async def test_a_slow_schema_is_stopped_and_then_refused(own: Renderer) -> None:
    tenant = uuid4()
    results = [await own.check_payloads(SLOW_SCHEMA, [SLOW_PAYLOAD], tenant=tenant) for _ in range(3)]
    assert results == [STOPPED, STOPPED, REFUSED]
    assert await own.check_schema(SLOW_SCHEMA, tenant=tenant) == REFUSED
    assert await can_render(own, tenant)


async def test_schemas_with_large_patterns_do_not_fill_a_child(own: Renderer) -> None:
    for title in range(6):
        patterns = [{"pattern": rf"(\w{{90}}|\d{{{n}}}){{20}}"} for n in range(90)]
        assert await check_schema(own, {"title": str(title), "allOf": patterns}, tenant=uuid4()) == []
    resident = [int(proc.text(pid, "statm").split()[1]) for pid in proc.renderers(os.getpid())]
    assert max(resident) * os.sysconf("SC_PAGE_SIZE") < 200 << 20  # 86 MiB


async def test_the_work_of_a_request_is_limited(own: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {"required": ["a"], "properties": {"a": {"type": "string"}}}
    payload: JsonValue = {"a": "x"}
    monkeypatch.setattr(schema_checks, "REQUEST_WORK_LIMIT", 50)
    checks = PayloadChecks(own, uuid4())
    for index in range(5):
        checks.add(index, payload, [schema, dict(schema)])
    await checks.run()
    refused = [index for index in range(5) if checks.problems.get(index)]
    assert refused == [4]
    assert [problem.detail for problem in checks.problems[4]] == [schema_checks.SMALLER_BATCH]


async def test_a_payload_above_the_work_limit_never_reaches_a_child(own: Renderer) -> None:
    schema = {"items": {"enum": list(range(4_000))}}
    checks = PayloadChecks(own, uuid4())
    checks.add(0, list(range(200_000)), [schema])
    begun = time.monotonic()
    await checks.run()
    assert time.monotonic() - begun < 1
    assert [problem.detail for problem in checks.problems[0]] == [schema_checks.TOO_MUCH_WORK]


async def test_payloads_that_do_not_fit_into_one_call_are_checked_in_several(own: Renderer) -> None:
    schema = {"required": ["a"], "properties": {"a": {"maxLength": 200_001}}}
    checks = PayloadChecks(own, uuid4())
    for index in range(30):
        checks.add(index, {"a" if index % 3 else "b": "é" * 100_000}, [schema])
    await checks.run()
    assert [index for index in range(30) if checks.problems.get(index)] == list(range(0, 30, 3))


async def test_a_process_that_cannot_start_is_started_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the machine has no process left: the tenant keeps its place, and the pool its size."""
    monkeypatch.setattr(pool, "RESTART_DELAY", 0.05)
    start, failures = ChildProcess.start, iter([BlockingIOError(), BlockingIOError()])

    async def sometimes() -> ChildProcess:
        if (error := next(failures, None)) is not None:
            raise error
        return await start()

    monkeypatch.setattr(ChildProcess, "start", sometimes)
    async with Renderer() as own:
        assert await can_render(own, uuid4())
        await wait_until(lambda: len(own._pool._idle) == 2)


async def test_a_batch_computes_the_limits_of_a_schema_once(own: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    schema, counted = {"type": "object", "required": ["name"]}, []

    def counting(given: dict[str, JsonValue]) -> object:
        counted.append(given)
        return BoundedSchema(text=json.dumps(given), cost=1)

    monkeypatch.setattr(schema_checks, "bound_schema", counting)
    checks = PayloadChecks(own, uuid4())
    for index in range(100):
        checks.add(index, {"name": "Ada"}, [schema, schema])
    await checks.run()
    assert (len(counted), checks.problems.get(0, {})) == (1, {})
