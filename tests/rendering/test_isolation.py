"""Test that code in a rendering child reaches no socket, no file and no other process, and which layer refuses it."""

import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rendering import isolation, process, wire
from rendering.messages import RenderedContent, RenderFailure
from rendering.pool import ProcessPool
from rendering.process import ChildProcess
from rendering.renderer import Renderer
from rendering.template_environment import TEXT_METHODS, build_environment
from rendering.templates import TemplateEngine
from tests.polling import wait_until
from tests.rendering import proc
from tests.rendering.sources import sms

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="isolated on Linux only")

ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of an object that a template prints
IS_ROOT = os.geteuid() == 0
HOSTILE = (sys.executable, "-E", "-s", "-m", "tests.rendering.hostile_child")

SOCKET = "socket.socket()"
UNIX_SOCKET = "socket.socket(socket.AF_UNIX)"
READ = "os.open({file!r}, os.O_RDONLY)"
WRITE = "os.open({file!r} + '.new', os.O_WRONLY | os.O_CREAT)"
LIST = "os.listdir({folder!r})"
FORK = "os.fork() or os._exit(0)"
EXECUTE = "os.execv('/bin/true', ['true'])"
KILL = "os.kill({parent}, 0)"
READ_PARENT = "os.open('/proc/{parent}/environ', os.O_RDONLY)"
PTRACE = "libc.ptrace(16, {parent}, 0, 0) and os.strerror(ctypes.get_errno())"
UNLIMIT = "libc.prlimit({parent}, 7, None, ctypes.create_string_buffer(16)) and os.strerror(ctypes.get_errno())"

# What each layer refuses by itself, and with which error.
REFUSED = "done: Operation not permitted"
FILES = (READ, WRITE, LIST)
ALONE: dict[str, dict[str, str]] = {
    "no_new_privs seccomp": {
        **dict.fromkeys((SOCKET, UNIX_SOCKET, *FILES, FORK, EXECUTE, KILL, READ_PARENT), "EPERM"),
        **dict.fromkeys((PTRACE, UNLIMIT), REFUSED),
    },
    "no_new_privs landlock": dict.fromkeys((*FILES, EXECUTE, READ_PARENT), "EACCES"),
    "no_descriptors": dict.fromkeys((SOCKET, UNIX_SOCKET, *FILES), "EMFILE"),
    "own_uid no_processes": {**dict.fromkeys((*FILES, READ_PARENT), "EACCES"), KILL: "EPERM", FORK: "EAGAIN"},
}


@asynccontextmanager
async def hostile(monkeypatch: pytest.MonkeyPatch, *layers: str) -> AsyncIterator[ChildProcess]:
    """Start a child that runs code. Its greeting must report the layers as active."""
    monkeypatch.setattr(process, "COMMAND", (*HOSTILE, *layers))
    child = await ChildProcess.start()
    greeting = (await child.read(30) or b"").decode()
    assert all(f'"{layer}"' in greeting for layer in layers), greeting
    try:
        yield child
    finally:
        child.kill()
        await child.exited


def insert_targets(code: str, folder: Path) -> str:
    """Insert the path of a file that only its owner may read, and the pid of this process."""
    file = folder / "key"
    file.write_text("ours")
    file.chmod(0o600)
    folder.chmod(0o700)
    return code.format(file=str(file), folder=str(folder), parent=os.getpid())


async def run(child: ChildProcess, code: str, tmp_path: Path) -> str:
    ready = insert_targets(code, tmp_path)
    payload = await child.run_job(wire.frame({"work": "run", "code": ready}), 10)
    assert payload is not None
    result, _ = wire.decode_result(payload)
    assert isinstance(result, RenderFailure)
    return result.reason


@pytest.mark.parametrize("layers", ALONE)
async def test_each_layer_refuses_by_itself(layers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "own_uid" in layers and not IS_ROOT:
        pytest.skip("only root can become another user")
    async with hostile(monkeypatch, *layers.split()) as child:
        assert {code: await run(child, code, tmp_path) for code in ALONE[layers]} == ALONE[layers]


async def test_the_code_of_these_tests_works_without_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hostile(monkeypatch, "no_new_privs") as child:
        for code in (SOCKET, READ, WRITE, LIST, KILL):
            assert (await run(child, code, tmp_path)).startswith("done: ")


async def test_all_layers_together_refuse_attacks_and_rendering_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hostile(monkeypatch) as child:
        for code in {code for refused in ALONE.values() for code in refused}:
            assert await run(child, code, tmp_path) in ("EPERM", REFUSED), code
        payload = await child.run_job(wire.job("render", sms("{{ 1 }}"), {}, "en"), 10)
        assert payload is not None
        assert wire.decode_result(payload)[0] == RenderedContent(content={"text": "1"})


async def test_no_tcp_connection_with_landlock_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"socket.create_connection({server.getsockname()!r})"
        async with hostile(monkeypatch, "no_new_privs", "landlock") as child:
            assert await run(child, code, tmp_path) == "EACCES"


async def test_every_filter_and_test_works_in_a_child(renderer: Renderer) -> None:
    """Nothing that a template can use is loaded at its first use."""
    values = ("'a <b>c</b> \\N{DASH} http://x.example/?a=1'", "['b', 'a']", "{'b': 1, 'a': 2}", "3.5", "missing")
    sandbox = build_environment(html=False)
    bodies = [f"{{{{ {value}|{name} }}}}" for name in sandbox.filters if name != "random" for value in values]
    bodies += [f"{{{{ {value} is {name} }}}}" for name in sandbox.tests for value in values]
    bodies += [f"{{{{ {value}.{name}() }}}}" for name in sorted(TEXT_METHODS) for value in values]
    here = TemplateEngine()
    for body in bodies:
        rendered = [await renderer.render(sms(body), {}, "en"), here.render(sms(body), {}, "en")]
        assert len({ADDRESS.sub("", repr(each)) for each in rendered}) == 1, rendered


async def test_production_runs_no_code() -> None:
    child = await ChildProcess.start()
    await child.read(30)
    assert await child.run_job(wire.frame({"work": "run", "code": "1"}), 10) is None
    await child.exited


@pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")
async def test_the_children_of_root_have_users_of_their_own() -> None:
    children = [await ChildProcess.start() for _ in range(2)]
    for child in children:
        await child.read(30)
    status = [line for child in children for line in proc.text(child.pid, "status").splitlines()]
    users = {line for line in status if line.startswith("Uid")}
    capabilities = [line for line in status if line.startswith("CapEff")]
    for child in children:
        child.kill()
        await child.exited
    assert len(users) == 2
    assert not any("\t0\t" in line for line in users)
    assert all(int(line.split()[1], 16) == 0 for line in capabilities)


async def test_the_log_reports_the_active_isolation_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "rendering.pool")
    async with Renderer(children=2) as renderer:
        await wait_until(lambda: len(renderer._pool._idle) == 2)
        assert renderer.isolation is not None
        assert {"no_new_privs", "seccomp", "no_descriptors"} <= {*renderer.isolation}
    lines = [record.getMessage() for record in caplog.records if "isolated by" in record.getMessage()]
    assert len(lines) == 1
    assert "seccomp" in lines[0]


def test_a_missing_layer_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    ProcessPool(1)._log_isolation({"in_force": ["no_descriptors"], "missing": {"landlock": "ENOSYS"}})
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().endswith("no_descriptors; missing: landlock (ENOSYS)")


def test_a_layer_that_the_kernel_lacks_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise OSError(38, "Function not implemented")

    applied: list[str] = []
    layers = {"landlock": missing, "seccomp": lambda: applied.append("seccomp")}
    monkeypatch.setattr(isolation, "LAYERS", layers)
    result = isolation.isolate()
    assert result.in_force == ("seccomp",)
    assert result.missing == {"landlock": "ENOSYS"}
    assert applied == ["seccomp"]
