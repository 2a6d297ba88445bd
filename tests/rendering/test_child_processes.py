import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rendering import pool, process, renderer, wire
from rendering.child_limits import CPU_SECONDS, MEMORY_LIMIT
from rendering.messages import RenderedContent, RenderFailure
from rendering.process import ROOT, ChildProcess
from rendering.renderer import Renderer
from rendering.templates import CACHE_LIMIT, TemplateEngine
from tests.polling import wait_until
from tests.rendering import proc
from tests.rendering.sources import email, sms

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
FINE = RenderedContent(content={"text": "1"})

PARENT = f"""
import asyncio
from uuid import uuid4
from rendering.renderer import Renderer
from tests.rendering import proc
from tests.rendering.sources import sms
async def main():
    async with Renderer() as renderer:
        await asyncio.gather(*(renderer.render(sms("x"), {{}}, "en") for _ in range(9)))
        await asyncio.sleep(0.2)
        print("ready", flush=True)
        while True:
            await renderer.render(sms({ENDLESS!r}), {{}}, "en", tenant=uuid4())
asyncio.run(main())
"""


@pytest.fixture
async def own() -> AsyncIterator[Renderer]:
    """Create a separate renderer: these tests kill children."""
    async with Renderer(children=1) as own:
        assert await own.render(sms("{{ 1 }}"), {}, "en") == FINE
        yield own


@pytest.fixture
async def child() -> AsyncIterator[ChildProcess]:
    child = await ChildProcess.start()
    try:
        assert await child.read(30)
        yield child
    finally:
        child.kill()
        await child.exited


def only(own: Renderer) -> ChildProcess:
    (process,) = own._pool._processes
    return process


def busy(own: Renderer) -> list[ChildProcess]:
    """Return the children that have worked for longer than a start takes."""
    return [child for child in own._pool._processes if proc.cpu_ticks(child.pid) > 30]


async def test_the_environment_does_not_reach_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_SECRET_KEY", "hunter2")
    child = await ChildProcess.start()
    await child.read(30)
    assert proc.text(child.pid, "environ") == ""
    child.kill()
    await child.exited


async def test_no_socket_or_file_of_the_parent_reaches_the_child(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        child = await ChildProcess.start()
        await child.read(30)
        kept = proc.descriptors(child.pid)
        child.kill()
        await child.exited
    assert file.name not in kept.values()
    assert all(descriptor < 4 for descriptor in kept)


async def test_the_kernel_limits_the_child(child: ChildProcess) -> None:
    await child.run_job(wire.job("render", sms("x"), {}, "en"), 1)
    limits = {line[:26].strip(): line[26:].split() for line in proc.text(child.pid, "limits").splitlines()}
    assert int(limits["Max address space"][1]) <= MEMORY_LIMIT + (256 << 20)
    assert int(limits["Max cpu time"][0]) <= CPU_SECONDS + 2
    assert limits["Max core file size"][:2] == ["0", "0"]
    assert limits["Max file size"][:2] == ["0", "0"]
    assert limits["Max open files"][:2] == ["0", "0"]
    assert limits["Max processes"][:2] == ["0", "0"]
    assert os.getsid(child.pid) == child.pid


async def test_a_child_imports_no_environment_of_its_parent(child: ChildProcess) -> None:
    mapped = proc.text(child.pid, "maps")
    assert "temporalio" not in mapped
    assert "asyncpg" not in mapped


async def test_a_child_is_ready_quickly() -> None:
    times = []
    for _ in range(5):
        begun = time.monotonic()
        child = await ChildProcess.start()
        await child.read(30)
        times.append(time.monotonic() - begun)
        child.kill()
        await child.exited
    assert min(times) < 2  # 0.15 s on an idle machine


async def test_a_warm_round_trip_is_short(own: Renderer) -> None:
    times = []
    for _ in range(300):
        begun = time.perf_counter()
        await own.render(sms("Hi {{ name }}"), {"name": "Ada"}, "en")
        times.append(time.perf_counter() - begun)
    assert sorted(times)[150] < 0.02  # 0.2 ms on an idle machine


async def test_a_child_killed_while_idle_affects_no_render(own: Renderer) -> None:
    for _ in range(3):
        os.kill(only(own).pid, signal.SIGKILL)  # this loop has not noticed yet
        assert await own.render(sms("{{ 1 }}"), {}, "en") == FINE


async def test_a_child_killed_while_rendering_is_a_failure(own: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "CALL_SECONDS", 20)
    call = asyncio.create_task(own.render(sms(ENDLESS), {}, "en"))
    for _ in range(2):  # a failed call gets one more attempt
        await wait_until(lambda: bool(busy(own)))
        for child in busy(own):
            os.kill(child.pid, signal.SIGKILL)
            await child.exited
    assert await call == RenderFailure(reason="the rendering process died")
    assert await own.render(sms("{{ 1 }}"), {}, "en") == FINE


@pytest.mark.long  # 6 s of CPU; the suite checks the limits of the kernel (`test_the_kernel_limits_the_child`)
async def test_the_kernel_stops_a_child_of_a_dead_parent(own: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "CALL_SECONDS", 60)
    assert await own.render(sms(ENDLESS), {}, "en") == RenderFailure(reason="the rendering process died")


async def test_a_child_that_ran_out_of_memory_is_replaced(own: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "CALL_SECONDS", 20)  # a slow machine takes longer to fill the memory
    before = only(own).pid
    body = "{% set ns = namespace(x='aaaa') %}{% for a in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"
    result = await own.render(sms(body), {}, "en")
    assert isinstance(result, RenderFailure)
    assert result.reason == "needed more than 256 MiB"
    assert await own.render(sms("{{ 1 }}"), {}, "en") == FINE
    assert not proc.running(before)


def test_the_oldest_compiled_templates_are_dropped() -> None:
    templates = TemplateEngine()
    for number in range(24):
        assert isinstance(templates.render(email(f"{number}" + "a" * 32_000, subject=None), {}, "en"), RenderedContent)
    kept = [source for _, source in templates._compiled]
    assert templates._cached == sum(map(len, kept)) <= CACHE_LIMIT
    assert kept[-1].startswith("23")
    assert len(kept) == 8


@pytest.mark.long  # 10 s of CPU; `test_the_oldest_compiled_templates_are_dropped` checks the limit in the suite
async def test_many_templates_do_not_fill_a_child(own: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "CALL_SECONDS", 30)
    for number in range(24):
        body = f"{{# {number} #}}" + "{{ a }} " * 4000
        assert isinstance(await own.render(sms(body), {"a": 1}, "en"), RenderedContent)
    assert await own.render(sms("{{ 1 }}"), {}, "en") == FINE
    resident = int(proc.text(only(own).pid, "statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert resident < 150 << 20


async def test_a_foreign_response_counts_as_a_dead_child(own: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; w = sys.stdout.buffer.write; w(b'\\0\\0\\0\\2{}'); sys.stdout.flush(); sys.stdin.buffer.read(9); w(b'\\0\\0\\0\\3[1]'); sys.stdout.flush(); sys.stdin.read()"  # noqa: E501
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", script))
    async with Renderer(children=1) as strange:
        assert await strange.render(sms("x"), {}, "en") == RenderFailure(reason="the rendering process died")


async def test_children_that_do_not_start_are_retried(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pool, "RESTART_DELAY", 0.01)
    with monkeypatch.context() as broken:
        broken.setattr(process, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
        late = Renderer(children=1)
        call = asyncio.create_task(late.render(sms("{{ 1 }}"), {}, "en"))
        await wait_until(lambda: "did not start" in caplog.text)
        assert not call.done()
    assert await call == FINE
    await late.close()


async def test_a_closed_renderer_refuses_work_and_leaves_no_child() -> None:
    before = proc.renderers(os.getpid())
    closing = Renderer()
    await closing.render(sms("x"), {}, "en")
    assert proc.renderers(os.getpid()) > before
    await closing.close()
    assert proc.renderers(os.getpid()) <= before
    with pytest.raises(RuntimeError, match="closed"):
        await closing.render(sms("x"), {}, "en")


async def test_a_parent_killed_with_9_leaves_no_child() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"ready\n"
    await wait_until(lambda: any(proc.cpu_ticks(pid) > 20 for pid in proc.renderers(parent.pid)))
    parent.send_signal(signal.SIGSTOP)  # it replaces no child between the look and the kill
    left = proc.renderers(parent.pid)
    assert left
    parent.kill()
    await parent.wait()
    await wait_until(lambda: not any(proc.running(pid) for pid in left))
