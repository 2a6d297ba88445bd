"""An API process that starts while nobody listens at Temporal's address: it serves, and goes on serving."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap import prepare_database
from embedded.ports import free_port
from embedded.runfile import RunInfo
from embedded.stack import CHECKOUT
from embedded.temporary import temporary_postgres
from tests.faults.customer import customer_at

pytestmark = pytest.mark.postgres

KEY = "tk_dev_of_this_test"


@asynccontextmanager
async def api_alone(database_url: str, log: Path) -> AsyncIterator[tuple[Process, RunInfo]]:
    port = free_port()
    settings = {
        "ENV": "dev",
        "DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": f"127.0.0.1:{free_port()}",
        "API_PORT": str(port),
        "DEV_API_KEY": KEY,
    }
    info = RunInfo(
        api_url=f"http://127.0.0.1:{port}",
        temporal_address=settings["TEMPORAL_ADDRESS"],
        temporal_ui_url="",
        database_url=database_url,
        api_key=KEY,
        pids={},
    )
    environment = os.environ | {f"TOCSIN_{name}": value for name, value in settings.items()}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api"), stdin=DEVNULL, stdout=out, stderr=out, cwd=CHECKOUT, env=environment
        )
    try:
        yield process, replace(info, pids={"api": process.pid})
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_an_api_that_starts_without_temporal_is_ready_but_degraded_and_accepts_and_stays(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    async with temporary_postgres(tmp_path) as postgres:
        await prepare_database(postgres.url)
        async with api_alone(postgres.url, log) as (process, info), customer_at(info) as customer:
            await customer.ready()
            assert (await customer.http.get(f"{customer.url}/readyz")).json()["degraded"] == ["temporal"]
            await customer.type()
            await customer.sent("first")
            await customer.sent("second")
            assert process.returncode is None
        assert process.returncode == 0
