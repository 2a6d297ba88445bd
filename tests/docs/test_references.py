"""Links with an anchor, paths and quoted log messages of the docs name something that exists."""

import ast
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.code.tree import ROOT, Module, product, sample

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(((?!https?:)[^)\s#]*)#([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FILE = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.\w+|(?:[\w.-]+/){2,})`")
# Files that scripts and `make run` create.
CREATED = ("deploy/secrets/", "deploy/server.env", ".tocsin/")
LOG_QUERY = re.compile(r"docker compose logs [^`|]*\| grep '([^']+)'")


def anchors(page: str) -> set[str]:
    """Anchors of the headings, as GitHub writes them."""
    headings = HEADING.findall(FENCED.sub("", page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_anchors(path: Path) -> list[str]:
    text = FENCED.sub("", path.read_text())
    targets = [(os.path.normpath(path.parent / link) if link else path, anchor) for link, anchor in LINK.findall(text)]
    pages = [(Path(target), anchor) for target, anchor in targets if str(target).endswith(".md")]
    return [f"{page.name}#{anchor}" for page, anchor in pages if anchor not in anchors(page.read_text())]


def test_every_linked_heading_exists() -> None:
    broken = {str(page.relative_to(ROOT)): broken_anchors(page) for page in PAGES}
    assert {page: links for page, links in broken.items() if links} == {}


def test_a_link_to_a_missing_heading_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Keys\n\n## Key rotation\n\n[a](#key-rotation) [b](page.md#keys) [c](#rotate-a-key)\n")
    assert broken_anchors(page) == ["page.md#rotate-a-key"]


def missing_files(page: str) -> list[str]:
    return [path for path in FILE.findall(page) if not path.startswith(CREATED) and not (ROOT / path).exists()]


def test_every_named_file_exists() -> None:
    missing = {str(page.relative_to(ROOT)): missing_files(page.read_text()) for page in PAGES}
    assert {page: paths for page, paths in missing.items() if paths} == {}


def test_a_missing_file_is_found() -> None:
    page = "`domain/cron.py` `domain/crontab.py` `deploy/caddy/` `deploy/helm/` `deploy/secrets/x/` `a/b`"
    assert missing_files(page) == ["domain/crontab.py", "deploy/helm/"]


def strings(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Return the string values of the code, without docstrings."""
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def is_logged(query: str, modules: Iterable[Module]) -> bool:
    """Whether a string of the code contains the query. For a field, `"loop": "wakeups"`, a string is its value."""
    _, is_field, value = query.partition(": ")
    wanted = value.strip('"') if is_field else query
    nodes = (module.nodes for module in modules if wanted in module.source)
    return any(wanted == text if is_field else wanted in text for found in nodes for text in strings(found))


def test_every_log_query_finds_a_message() -> None:
    queries = {query for path in PAGES for query in LOG_QUERY.findall(path.read_text())}
    assert len(queries) > 5
    assert [query for query in queries if not is_logged(query, product())] == []


def test_a_log_query_without_a_message_is_found() -> None:
    code = 'def report():\n    """It is restarted."""\n    log.error("a process ended", loop="wakeups")\n'
    modules = [sample("dispatch/background_loops.py", code)]
    assert is_logged("process ended", modules)
    assert is_logged('"loop": "wakeups"', modules)
    assert not is_logged("is restarted", modules)
    assert not is_logged('"loop": "wake"', modules)
