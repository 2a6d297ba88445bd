"""The harness itself: a stalled, a dead and a growing API are noticed."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.attacks import arena as judging
from tests.attacks.arena import Arena
from tests.attacks.load import Load
from tests.attacks.watcher import HealthWatcher
from tests.polling import holds

pytestmark = pytest.mark.postgres


async def test_an_idle_api_is_within_the_limits(arena: Arena) -> None:
    async with arena.watched() as watcher:
        pass
    assert len(watcher.latencies) >= 50


async def test_a_stalled_api_exceeds_the_limit(arena: Arena) -> None:
    stall = arena.limit + 0.2
    with HealthWatcher(arena.target.port) as watcher:
        os.kill(arena.target.pid, signal.SIGSTOP)
        try:
            with pytest.raises(AssertionError):
                await holds(lambda: False, stall)
        finally:
            os.kill(arena.target.pid, signal.SIGCONT)
    assert watcher.p99 > arena.limit


async def test_memory_that_is_not_given_back_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MEMORY_WITHIN", 0.1)
    grown = replace(arena, baseline=arena.target.memory - judging.MEMORY_TOLERANCE - 1)
    with pytest.raises(AssertionError, match="never held"):
        await grown.memory_is_given_back()


def test_the_work_of_other_processes_is_noticed(arena: Arena) -> None:
    before = Load.measured(arena.target.pid)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        with pytest.raises(subprocess.TimeoutExpired):
            busy.wait(1)
        busy.kill()
    assert Load.measured(arena.target.pid).others_since(before) > 0.8 / (os.cpu_count() or 1)
