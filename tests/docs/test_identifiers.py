"""Names in backticks, in the docs and in docstrings, exist in the code, so that a rename does not leave them behind."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath

from tests.code.test_words import list_texts
from tests.code.tree import Module
from tests.docs.test_references import FENCED

# Without the metrics, whose names `tests/metrics/` compares with the code.
NAME = re.compile(r"`((?!tocsin_|temporal_)_?[a-z][a-z0-9]*(?:_[a-z0-9]+)+|(?:[A-Z][a-z0-9]+){2,})`")
WORD = re.compile(r"[A-Za-z_]\w*")
# Names of other software, names that the reader chooses, and a name that a decision page says was removed.
FOREIGN = {
    *("is_global", "delivery_delayed", "ContinuedAsNew", "VendorSettings", "SweepWorkflow"),
    "test_a_refused_number_falls_back_to_email",
}
SELF = "tests/docs/test_identifiers.py"


def docstrings(module: Module) -> list[ast.Constant]:
    expressions = [node.value for node in module.nodes if isinstance(node, ast.Expr)]
    return [node for node in expressions if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def prose_of(path: str, text: str) -> str:
    if path.endswith(".py"):
        return "\n".join(str(node.value) for node in docstrings(Module(path, text)))
    return FENCED.sub("", text) if path.endswith(".md") else ""


def words_of(path: str, text: str) -> Iterator[str]:
    """Yield the names of the code, and the words of its strings that are not docstrings."""
    yield from PurePath(path).with_suffix("").parts
    if not path.endswith(".py"):
        yield from () if path.endswith(".md") else WORD.findall(text)
        return
    module = Module(path, text)
    described = {id(node) for node in docstrings(module)}
    for node in module.nodes:
        if id(node) not in described:
            for _, value in ast.iter_fields(node):
                yield from WORD.findall(value) if isinstance(value, str) else ()


def missing_names(texts: Iterable[tuple[str, str]]) -> list[str]:
    texts = [(path, text) for path, text in texts if path != SELF]
    known = FOREIGN.union(*(words_of(path, text) for path, text in texts))
    return [
        f"{path}: {name}"
        for path, text in texts
        if path != "CHANGELOG.md"
        for name in NAME.findall(prose_of(path, text))
        if name not in known
    ]


def test_every_name_in_backticks_exists() -> None:
    assert missing_names(list_texts()) == []


def test_a_name_that_does_not_exist_is_found() -> None:
    docstring = '"""See `open_pool`, `max_size`, `opened_pool` and `PoolOpener`."""'
    code = f"def open_pool(max_size):\n    {docstring}\n    log('pool_opened')\n"
    page = "`pool_opened` `pool_closed` `event_id`\n```\n`in_code`\n```\n"
    found = missing_names([("dispatch/pools.py", code), ("docs/a.md", page), ("b.sql", "SELECT event_id")])
    assert found == ["dispatch/pools.py: opened_pool", "dispatch/pools.py: PoolOpener", "docs/a.md: pool_closed"]
