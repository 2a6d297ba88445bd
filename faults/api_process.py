"""Run an API process without a worker and without a reachable Temporal."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from embedded.ports import free_port
from embedded.runfile import RunInfo
from embedded.stack import CHECKOUT

KEY = "tk_dev_of_this_test"


@asynccontextmanager
async def running_api(database_url: str, log: Path, **more: str) -> AsyncIterator[tuple[Process, RunInfo]]:
    """Run it with additional settings."""
    port = free_port()
    settings = {
        "ENV": "dev",
        "DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": f"127.0.0.1:{free_port()}",
        "API_PORT": str(port),
        "DEV_API_KEY": KEY,
        **more,
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
