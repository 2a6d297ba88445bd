"""Run every command of the documentation unchanged, page by page, from top to bottom, with a running stack."""

import re
from pathlib import Path

import pytest

from commands.client import open_api
from commands.demo import load_shop
from embedded.stack import CHECKOUT
from tests.api_tenants import ApiTenant
from tests.cli.terminal import open_terminal

PAGES = (
    *("quick-start", "concepts", "send", "templates", "preferences", "delivery"),
    *("event-webhooks", "suppressions", "tracking", "schedules"),
    *("digests", "limits", "quiet-hours", "keys", "attachments"),
)
# test_first_type.py runs this page, which needs its own `make run`.
READ = (*PAGES, "first-type")
# Commands that other tests run, and those that would run this test.
ELSEWHERE = {"make run", "make test"}
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
URL = "http://127.0.0.1:8000"
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def page(name: str) -> str:
    return (CHECKOUT / "docs" / f"{name}.md").read_text()


def commands(text: str) -> str:
    """Join all blocks to one script, so that a block may use variables that an earlier one has set."""
    return "".join(block for block in BLOCK.findall(text) if block.strip() not in ELSEWHERE)


@pytest.mark.postgres
@pytest.mark.temporal
@pytest.mark.parametrize("name", PAGES)
async def test_every_command_of_a_page_works(name: str, api_tenant: ApiTenant, forks: Path, tmp_path: Path) -> None:
    async with open_api(api_tenant.engine.api_url, api_tenant.key) as api:
        await load_shop(api)
    terminal = open_terminal(tmp_path, api_tenant, forks)
    script = commands(page(name))
    assert script
    run = await terminal.run("bash", "-euxo", "pipefail", "-c", script.replace(URL, api_tenant.engine.api_url))
    assert run.code == 0, run.out + run.err


@pytest.mark.parametrize("name", READ)
def test_every_block_has_a_language(name: str) -> None:
    fences = re.findall(r"^```(\w*)$", page(name), re.MULTILINE)[::2]
    assert set(fences) <= {"sh", "yaml", "json", ""}
    indented = re.findall(r"^    (?:\./tocsin|curl|make) .*", page(name), re.MULTILINE)
    assert indented == []


@pytest.mark.parametrize("name", READ)
def test_every_link_resolves(name: str) -> None:
    assert [link for link in LINK.findall(page(name)) if not (CHECKOUT / "docs" / link).exists()] == []


@pytest.mark.parametrize("name", sorted(path.stem for path in (CHECKOUT / "docs").glob("*.md")))
def test_a_command_refers_to_variables_set_above_it(name: str) -> None:
    """Also where no command of a page can run here."""
    script = commands(page(name))
    for variable in ("URL", "KEY"):
        before, used, _ = script.partition(f"${variable}")
        assert not used or re.search(rf"^{variable}=", before, re.MULTILINE), f"${variable} is set nowhere"


def test_only_a_whole_block_can_be_skipped() -> None:
    assert commands("```sh\nmake run\n```\n") == ""
    assert commands("```sh\nmake run\necho\n```\n") == "make run\necho\n"
    assert commands("```yaml\na: b\n```\n```sh\nls\n```\n") == "ls\n"
