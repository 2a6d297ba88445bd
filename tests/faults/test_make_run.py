"""Use `make run` like a new user: its printed commands work, data is kept, and nothing is left behind however it
ends.
"""

import asyncio
import re
import shutil
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from config import Settings
from embedded.process_identity import command_line_of
from faults.stack_run import STOP_TIMEOUT, running_stack, start, survivors
from supervision.worker_shares import worker_count
from tests.faults.conftest import RunningStack, open_stack
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

BULK, URGENT = 500, 5
# The sandbox's order of the messages after the first urgent one was accepted.
PLACES = """
SELECT place FROM (
  SELECT m.notification_id::text AS id, row_number() OVER (ORDER BY m.accepted_at, m.id) AS place
    FROM sandbox_message m
   WHERE m.accepted_at > (SELECT min(created_at) FROM notification WHERE id::text = ANY($1))) later
 WHERE id = ANY($1) ORDER BY place
"""
# An ended notification has no entry.
STARTED = """
SELECT finished_at IS NOT NULL OR EXISTS (
  SELECT 1 FROM queue_entry q WHERE q.notification_id = n.id AND q.started_at IS NOT NULL)
  FROM notification n WHERE id::text = $1
"""
ROLES = {"api": ["-m", "api"], "worker": ["worker.py"], "temporal": ["server", "start-dev"], "postgres": ["-D"]}


@pytest.fixture(scope="module")
async def everyday(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningStack]:
    """Start it like a user: only the directory and the ports are set."""
    async with running_stack(tmp_path_factory.mktemp("everyday") / "data") as run, open_stack(run) as stack:
        yield stack


async def bash(script: str) -> str:
    process = await asyncio.create_subprocess_exec("bash", "-c", script, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_make_run_prints_addresses_and_a_timeline_that_ends_in_delivered(everyday: RunningStack) -> None:
    printed, info = everyday.run.printed, everyday.run.info
    for shown in (f"{info.api_url}/docs", f"{info.api_url}/outbox", info.temporal_ui_url, info.api_key):
        assert shown in printed
    assert "A notification was just sent and is DELIVERED:" in printed
    kinds = re.findall(r"^  \d{4}-\S+Z  (\w+)", printed, re.MULTILINE)
    assert kinds == ["accepted", "rendered", "sent", "delivered"]
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
        for page in (f"{info.api_url}/docs", f"{info.api_url}/outbox", info.temporal_ui_url):
            assert (await http.get(page, follow_redirects=True)).status_code == 200, page


async def test_the_printed_curl_sends_a_notification_that_is_delivered(everyday: RunningStack) -> None:
    quiet = everyday.run.curl().replace("curl -X", "curl -sS -w '\\n%{http_code}' -X", 1)
    body, _, status = (await bash(quiet)).rpartition("\n")
    assert status == "202", body
    [id] = re.findall(r'"id":\s*"([^"]+)"', body)
    assert set((await everyday.wait_for_end([id])).values()) == {"DELIVERED"}


async def test_the_pids_in_the_run_file_are_those_of_the_servers_themselves(everyday: RunningStack) -> None:
    pids = everyday.run.pids
    workers = [f"worker-{number}" for number in range(2, worker_count(Settings(env="dev", _env_file=None)) + 1)]
    assert set(pids) == {*ROLES, *workers}
    for name, words in {**ROLES, **dict.fromkeys(workers, ROLES["worker"])}.items():
        argv = command_line_of(pids[name])
        assert [word for word in words if word not in argv] == [], argv
    assert [Path(command_line_of(pids[name])[0]).name for name in ("temporal", "postgres")] == ["temporal", "postgres"]


@pytest.mark.long
async def test_two_stacks_side_by_side_share_neither_ports_nor_processes_nor_keys(
    everyday: RunningStack, stack: RunningStack
) -> None:
    one, other = everyday.run.info, stack.run.info
    assert not set(everyday.run.pids.values()) & set(stack.run.pids.values())
    for name in ("api_url", "temporal_address", "temporal_ui_url", "database_url", "api_key"):
        assert getattr(one, name) != getattr(other, name)
    strange = {"Authorization": f"Bearer {other.api_key}"}
    assert (await everyday.stack_client.http.get("/notifications", headers=strange)).status_code == 401


@pytest.mark.long
async def test_a_used_port_ends_the_start_and_names_the_setting(everyday: RunningStack, tmp_path: Path) -> None:
    port = everyday.run.info.api_url.rpartition(":")[2]
    run = await start(tmp_path / "data", API_PORT=port)
    async with asyncio.timeout(STOP_TIMEOUT):
        assert await run.process.wait() == 1
    assert run.printed == f"tocsin: port {port} is taken; set TOCSIN_API_PORT=0 to pick a free one\n"


@pytest.mark.long
async def test_urgent_messages_overtake_a_backlog_of_bulk(everyday: RunningStack) -> None:
    bulk = await everyday.stack_client.batch(BULK, "bulk", priority=5)
    await everyday.wait_for_partial_send(bulk, 50)
    urgent = [await everyday.stack_client.send_accepted(f"urgent-{number}", priority=1) for number in range(URGENT)]
    await eventually(lambda: everyday.stack_database.count_sent(urgent), lambda sent: sent == URGENT)
    places = [row["place"] for row in await everyday.stack_database.rows(PLACES, urgent)]
    assert len(places) == URGENT
    assert max(places) <= 30  # some have slots; those sent one after the other come later


async def test_data_survives_a_kill_and_ctrl_c_stops_every_process(everyday: RunningStack) -> None:
    """Kill this stack; the last test that uses it."""
    run, before = everyday.run, everyday
    kept = await before.stack_client.send_accepted("kept")
    await before.wait_for_end([kept])
    later = (datetime.now(UTC) + timedelta(seconds=8)).isoformat()
    waiting = await before.stack_client.send_accepted("waiting", send_at=later)
    await before.stack_database.until(STARTED, waiting, is_=True)
    key, family = run.info.api_key, run.identities
    run.process.kill()
    await run.process.wait()
    async with running_stack(run.root) as second, open_stack(second) as after:

        async def left() -> list[str]:
            return survivors(family)

        await eventually(left, lambda names: names == [], within=STOP_TIMEOUT)
        assert second.info.api_key == key
        assert await after.stack_database.statuses([kept]) == {kept: "DELIVERED"}
        assert await after.wait_for_end([waiting]) == {waiting: "DELIVERED"}
        assert await after.stack_database.count_sent([kept, waiting]) == 2
        family = second.identities
        assert await second.stop(signal.SIGINT) == 0
        assert survivors(family) == []
        assert not (second.root / "run.json").exists()


@pytest.mark.long
async def test_killing_make_stops_the_stack(tmp_path: Path) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make on this machine")
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"run:\n\t@exec {sys.executable} cli.py dev\n")
    async with running_stack(tmp_path / "data", (make, "-f", str(makefile), "run")) as run:
        family = run.identities
        run.process.kill()
        await run.process.wait()

        async def left() -> list[str]:
            return [*survivors(family), *(str(file) for file in run.root.glob("run.json"))]

        await eventually(left, lambda names: names == [], within=STOP_TIMEOUT)
