"""A notification that only waits costs no CPU; nor do a thousand."""

import sys
from pathlib import Path

import pytest

from benchmarks.cpu import NoSuchProcess, cpu_seconds
from benchmarks.run import Wait, run_waiting
from embedded.processes import Child
from embedded.supervisor import Supervisor
from tests.polling import eventually

# Of one core, more than the same processes need while nothing waits. Measured: 0.4 %.
HARDLY = 0.05
BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
FAMILY = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {BURN!r}])\n{BURN}time.sleep(300)"


async def test_cpu_of_a_process_is_that_of_its_children_too_also_of_those_that_ended(tmp_path: Path) -> None:
    child = Child(name="burner", argv=(sys.executable, "-S", "-c", FAMILY), log=tmp_path / "burner.log")
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
async def test_a_thousand_that_wait_cost_no_cpu_not_even_while_the_sweep_looks_after_them(tmp_path: Path) -> None:
    figures = (await run_waiting(tmp_path, Wait(count=1_000, seconds=8))).summary()
    idle = figures["cpu_idle_ours"]["median"]
    assert 0 < idle < HARDLY
    for name in ("cpu_waiting_ours", "cpu_waiting_swept_ours"):
        assert figures[name]["median"] - idle < HARDLY, figures
