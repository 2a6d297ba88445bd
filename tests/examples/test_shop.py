"""The example shop: everything it says exists, in both languages, and the story ends as it is told."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

import pytest
import uvicorn

from api.app import create_app
from api.server import Server
from bootstrap import Parts, open_parts
from commands.client import open_api
from commands.demo import SHOP, load_shop
from commands.folder import TEMPLATE, TYPE, read_folder
from config import Settings
from embedded.ports import free_port
from embedded.stack import CHECKOUT
from models.tenants import Tenant
from storage.api_keys import create_key
from storage.database import Database
from tests.cli.terminal import Terminal, open_terminal
from tests.engine import Shop
from tests.polling import holds

LANGUAGES = ["de", "en"]
TOLD = [
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


def test_every_template_is_there_in_two_languages() -> None:
    templates = sorted(item.place for item in read_folder(SHOP) if item.kind == TEMPLATE)
    for place, found in groupby(templates, key=lambda place: place[:2]):
        assert [language for *_, language in found] == LANGUAGES, place


def test_the_types_of_the_story_are_there() -> None:
    keys = {item.place[0] for item in read_folder(SHOP) if item.kind == TYPE}
    assert keys >= {"welcome", "one-time-password", "order.shipped", "invoice", "critical-alert", "newsletter"}


@pytest.mark.postgres
@pytest.mark.temporal
async def test_the_story_is_told_to_its_end(shop: Shop, forks: Path, tmp_path: Path) -> None:
    terminal = open_terminal(tmp_path, shop, forks)
    async with open_api(shop.engine.api_url, shop.key) as api:
        await load_shop(api)
    said = await terminal.run(".venv/bin/python", "examples/shop/story.py")
    assert said.code == 0, said.out + said.err
    told = re.findall(r"^  ([A-Z_]+)|^  (\w+ +[A-Z_]+)", said.out, re.MULTILINE)
    assert [" ".join("".join(words).split()) for words in told] == TOLD, said.out


@pytest.mark.postgres
async def test_the_story_is_not_told_where_somebody_real_would_hear_it(
    database: Database, database_url: str, tenant: Tenant, forks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HOST": "127.0.0.1", "FROM": "shop@example.com"}.items():
        monkeypatch.setenv(f"TOCSIN_SMTP_{name}", value)
    async with database.transaction() as session:
        _, key = await create_key(session, tenant.id, "story", ["read", "send", "manage"])
    settings = Settings(
        env="dev",
        database_url=database_url,
        temporal_address="127.0.0.1:1",
        email_providers=["sandbox", "smtp"],
        _env_file=None,
    )
    async with open_parts(settings) as parts, answering(parts) as api_url:
        where = {"TOCSIN_API_URL": api_url, "TOCSIN_API_KEY": key}
        said = await Terminal(CHECKOUT, forks).run(".venv/bin/python", "examples/shop/story.py", **where)
    assert (said.code, said.out) == (1, "")
    assert said.err == "The story is for the sandbox, and this Tocsin also sends by smtp.\n"


@asynccontextmanager
async def answering(parts: Parts) -> AsyncIterator[str]:
    """The API alone, at an address: nothing behind it starts what other tests have accepted."""
    port = free_port()
    server = Server(uvicorn.Config(create_app(parts), host="127.0.0.1", port=port, log_config=None))
    serving = asyncio.create_task(server.serve())
    await holds(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest.mark.postgres
@pytest.mark.temporal
async def test_loading_it_again_leaves_what_people_made_of_it(shop: Shop) -> None:
    async with open_api(shop.engine.api_url, shop.key) as api:
        await load_shop(api)
        await shop.template("welcome", "email", "Mine")
        await shop.person("mia", email="elsewhere@example.com")
        await load_shop(api)
    [welcome] = (await shop.ok("GET", "/templates?name=welcome&language=en"))["items"]
    assert welcome["body_template"] == "Mine"
    assert (await shop.ok("GET", "/recipients/mia"))["email"] == "elsewhere@example.com"
