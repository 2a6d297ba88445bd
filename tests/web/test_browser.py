"""Test that Chromium shows the pages without violations of their policy. Skipped without Chromium."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn

from api.server import ApiServer, server_config
from bootstrap import Container
from embedded.ports import free_port
from tests.apps import app_of
from tests.storage.recipient_histories import recipient_with_history
from tests.storage.sends import open_database_tenant

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
]


@pytest.fixture
async def address(container: Container) -> AsyncIterator[str]:
    port = free_port()
    server: uvicorn.Server = ApiServer(server_config(app_of(container), "127.0.0.1", port))
    serving = asyncio.create_task(server.serve())
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


async def shown(url: str, profile: Path) -> tuple[str, str]:
    """Return the page after its scripts have run, and the messages of the browser console."""
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
    browser = await asyncio.create_subprocess_exec(
        *(
            str(CHROMIUM),
            *flags,
            f"--user-data-dir={profile}",
            "--enable-logging=stderr",
            "--virtual-time-budget=20000",
        ),
        *("--dump-dom", url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await browser.communicate()
    return out.decode(), "\n".join(line for line in err.decode().splitlines() if "CONSOLE" in line)


async def test_the_docs_list_the_operations(address: str, tmp_path: Path) -> None:
    page, console = await shown(f"{address}/docs", tmp_path)
    assert page.count('class="opblock ') > 50
    assert console == ""


async def test_the_outbox_shows_a_message(address: str, container: Container, tmp_path: Path) -> None:
    database_tenant = await open_database_tenant(container.database)
    known = await recipient_with_history(container.database, database_tenant.tenant, "browsed")
    page, console = await shown(f"{address}/outbox?recipient_id={known.recipient_id}", tmp_path)
    assert "<article" in page
    assert console == ""
