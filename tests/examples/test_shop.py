"""Test the example shop: everything that it uses exists, in both languages, and the walkthrough ends as printed."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

import pytest
import uvicorn

from api.app import create_app
from api.server import ApiServer
from bootstrap import Container, open_container
from commands.client import open_api
from commands.demo import SHOP_DIR, load_shop
from commands.folder import TEMPLATE_ITEM, TYPE_ITEM, read_folder
from config import Settings
from embedded.ports import free_port
from embedded.stack import CHECKOUT
from storage.database import Database
from tests.api_tenants import ApiTenant, create_tenant
from tests.cli.terminal import Terminal, open_terminal
from tests.polling import wait_until

LANGUAGES = ["de", "en"]
PRINTED = [
    *("DELIVERED", "sms DELIVERED"),
    *("DELIVERED", "push DELIVERED"),
    *("DELIVERED", "email DELIVERED"),
    *("DELIVERED", "push FAILED", "sms DELIVERED"),
    *("DELIVERED", "push SKIPPED", "sms FAILED", "email DELIVERED"),
    *("IN_DOUBT", "sms IN_DOUBT"),
    *("DELIVERED", "email DELIVERED", "sms DELIVERED"),
    *("DELIVERED", "sms SKIPPED", "email DELIVERED"),
    *("DELIVERED", "email DELIVERED"),
    *("SUPPRESSED", "email SKIPPED"),
    *("DELIVERED", "push DELIVERED"),
    *("CANCELED",),
]


def test_every_template_exists_in_two_languages() -> None:
    templates = sorted(item.resource_key for item in read_folder(SHOP_DIR) if item.resource_type == TEMPLATE_ITEM)
    for resource_key, found in groupby(templates, key=lambda resource_key: resource_key[:2]):
        assert [language for *_, language in found] == LANGUAGES, resource_key


def test_the_types_of_the_walkthrough_exist() -> None:
    keys = {item.resource_key[0] for item in read_folder(SHOP_DIR) if item.resource_type == TYPE_ITEM}
    assert keys >= {"welcome", "one-time-password", "order.shipped", "invoice", "critical-alert", "newsletter"}


@pytest.mark.postgres
@pytest.mark.temporal
async def test_the_walkthrough_runs_to_its_end(api_tenant: ApiTenant, forks: Path, tmp_path: Path) -> None:
    terminal = open_terminal(tmp_path, api_tenant, forks)
    async with open_api(api_tenant.engine.api_url, api_tenant.key) as api:
        await load_shop(api)
    run = await terminal.run(".venv/bin/python", "examples/shop/walkthrough.py")
    assert run.code == 0, run.out + run.err
    printed = re.findall(r"^  ([A-Z_]+)|^  (\w+ +[A-Z_]+)", run.out, re.MULTILINE)
    assert [" ".join("".join(words).split()) for words in printed] == PRINTED, run.out


@pytest.mark.postgres
async def test_the_walkthrough_does_not_run_with_real_providers(
    database: Database, database_url: str, forks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HOST": "127.0.0.1", "FROM": "shop@example.com"}.items():
        monkeypatch.setenv(f"TOCSIN_SMTP_{name}", value)
    _, key = await create_tenant(database)
    settings = Settings(
        env="dev",
        database_url=database_url,
        temporal_address="127.0.0.1:1",
        email_providers=["sandbox", "smtp"],
        _env_file=None,
    )
    async with open_container(settings) as container, answering(container) as api_url:
        where = {"TOCSIN_API_URL": api_url, "TOCSIN_API_KEY": key}
        run = await Terminal(CHECKOUT, forks).run(".venv/bin/python", "examples/shop/walkthrough.py", **where)
    assert (run.code, run.out) == (1, "")
    assert run.err == "The walkthrough needs the sandbox, but this Tocsin also sends by smtp.\n"


@asynccontextmanager
async def answering(container: Container) -> AsyncIterator[str]:
    """Serve the API alone, without anything that starts notifications of other tests."""
    port = free_port()
    server = ApiServer(uvicorn.Config(create_app(container), host="127.0.0.1", port=port, log_config=None))
    serving = asyncio.create_task(server.serve())
    await wait_until(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest.mark.postgres
@pytest.mark.temporal
async def test_loading_the_example_again_keeps_changes(api_tenant: ApiTenant) -> None:
    async with open_api(api_tenant.engine.api_url, api_tenant.key) as api:
        await load_shop(api)
        await api_tenant.add_template("welcome", "email", "Mine")
        await api_tenant.put_recipient("mia", email="elsewhere@example.com")
        await load_shop(api)
    [welcome] = (await api_tenant.call("GET", "/templates?name=welcome&language=en"))["items"]
    assert welcome["body_template"] == "Mine"
    assert (await api_tenant.call("GET", "/recipients/mia"))["email"] == "elsewhere@example.com"
