"""Test that a waiting notification uses no CPU, and neither do a thousand."""

import sys
from pathlib import Path

import pytest

from benchmarks.cpu import NoSuchProcess, cpu_seconds
from benchmarks.run import WaitingSize, run_waiting
from embedded.processes import ProcessSpec
from embedded.supervisor import Supervisor
from tests.polling import eventually

# Share of one core above the use of the same processes while nothing waits. Measured: 0.4 %.
HARDLY = 0.05
BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
FAMILY = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {BURN!r}])\n{BURN}time.sleep(300)"


async def test_cpu_time_includes_running_and_ended_children(tmp_path: Path) -> None:
    child = ProcessSpec(name="burner", argv=(sys.executable, "-S", "-c", FAMILY), log=tmp_path / "burner.log")
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(child)

        async def spent() -> float:
            return cpu_seconds(tmp_path, "burner")

        assert await eventually(spent, lambda seconds: seconds >= 0.5) < 2
    with pytest.raises(NoSuchProcess):
        cpu_seconds(tmp_path, "burner")


@pytest.mark.postgres
@pytest.mark.temporal
@pytest.mark.long
async def test_a_thousand_waiting_sends_use_no_cpu(tmp_path: Path) -> None:
    figures = (await run_waiting(tmp_path, WaitingSize(count=1_000, seconds=8))).summary()
    idle = figures["cpu_idle_ours"]["median"]
    assert 0 < idle < HARDLY
    for name in ("cpu_waiting_ours", "cpu_waiting_swept_ours"):
        assert figures[name]["median"] - idle < HARDLY, figures
