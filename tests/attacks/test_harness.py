"""Test the harness itself: it detects a stalled, a dead and a growing API."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.attacks import attack_monitor as judging
from tests.attacks.attack_monitor import AttackMonitor
from tests.attacks.health_watcher import HealthWatcher
from tests.attacks.load import CpuLoad
from tests.polling import wait_until

pytestmark = pytest.mark.postgres


async def test_an_idle_api_is_within_the_limits(attack_monitor: AttackMonitor) -> None:
    async with attack_monitor.watching() as watcher:
        pass
    assert len(watcher.latencies) >= 50


async def test_a_stalled_api_exceeds_the_limit(attack_monitor: AttackMonitor) -> None:
    stall = attack_monitor.limit + 0.2
    with HealthWatcher(attack_monitor.target.port) as watcher:
        os.kill(attack_monitor.target.pid, signal.SIGSTOP)
        try:
            with pytest.raises(AssertionError):
                await wait_until(lambda: False, stall)
        finally:
            os.kill(attack_monitor.target.pid, signal.SIGCONT)
    assert watcher.p99 > attack_monitor.limit


async def test_memory_that_is_not_given_back_is_noticed(
    attack_monitor: AttackMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "MEMORY_TIMEOUT", 0.1)
    grown = replace(attack_monitor, baseline=attack_monitor.target.memory - judging.MEMORY_TOLERANCE - 1)
    with pytest.raises(AssertionError, match="was never true"):
        await grown.wait_for_released_memory()


def test_the_work_of_other_processes_is_noticed(attack_monitor: AttackMonitor) -> None:
    before = CpuLoad.measured(attack_monitor.target.pid)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        with pytest.raises(subprocess.TimeoutExpired):
            busy.wait(1)
        busy.kill()
    assert CpuLoad.measured(attack_monitor.target.pid).foreign_share_since(before) > 0.8 / (os.cpu_count() or 1)
