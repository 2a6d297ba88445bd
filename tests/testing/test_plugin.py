"""Test the plugin as users have it: in their own project and their own pytest.

The suite also runs the example's tests on its own installation (`test_example.py`) and the plugin's (`test_clock.py`).
"""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from embedded.stack import CHECKOUT

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

EXAMPLE = CHECKOUT / "examples" / "testing"
WITHIN = 400


async def run_pytest(project: Path, **environment: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        cwd=project,
        env={**os.environ, **environment},
        stdout=PIPE,
        stderr=STDOUT,
    )
    async with asyncio.timeout(WITHIN):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_the_example_project_passes_in_seconds_and_nothing_leaves_the_machine() -> None:
    """The environment's providers have no effect."""
    code, output = await run_pytest(EXAMPLE, TOCSIN_EMAIL_PROVIDERS="sendgrid", TOCSIN_START_RATE="1")
    assert code == 0, output
    assert re.search(r"^5 passed in [0-9.]+s", output, re.MULTILINE), output


async def test_an_external_project_fails_at_its_type_error(tmp_path: Path) -> None:
    (tmp_path / "types").mkdir()
    (tmp_path / "types" / "reminder.yaml").write_text("route:\n  - channels: [pigeon]\ntemplates: {}\n")
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {CHECKOUT}\naddopts = -p no:asyncio\n")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["testing.plugin"]\n')
    (tmp_path / "test_it.py").write_text("def test_it(tocsin):\n    tocsin.apply('.')\n")
    code, output = await run_pytest(tmp_path)
    assert code == 1, output
    assert "types/reminder.yaml:2: " in output
    assert "1 failed" in output
