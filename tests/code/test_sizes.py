"""Check the sizes of modules and functions, and the names of folders."""

import ast
import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

import pytest

from tests.code.tree import FOLDERS, NOT_PRODUCT, ROOT, Module, hidden, product, sample, suite

MODULE_LINES = 250
FUNCTION_LINES = 40
ADAPTER_LINES = 200
SAYS_NOTHING = {"utils", "util", "common", "helpers", "core", "misc"}

# A migration is generated once, not read as code, and never edited again.
UNLIMITED = "storage/migrations/versions/"


def long_modules(module: Module) -> Iterator[str]:
    lines = len(module.source.splitlines())
    if lines > MODULE_LINES:
        yield f"{module.path}: {lines} lines"


def long_functions(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{module.path}:{node.lineno}: {node.name} has {lines} lines"


def shadows(names: Iterable[str]) -> set[str]:
    """Return names in the root that hide a standard module: the root is first on the import path."""
    return {name for name in names if PurePosixPath(name).stem in sys.stdlib_module_names}


def empty_words(folders: Iterable[str]) -> set[str]:
    return {folder for folder in folders if SAYS_NOTHING & set(PurePosixPath(folder).parts)}


def limited() -> list[Module]:
    return [module for module in product() if not module.path.startswith(UNLIMITED)]


def test_no_module_outgrows_its_limit() -> None:
    assert [line for module in [*limited(), *suite()] for line in long_modules(module)] == []


def test_no_function_outgrows_its_limit() -> None:
    assert [line for module in limited() for line in long_functions(module)] == []


def long_adapters(modules: Iterable[Module], names: Iterable[str]) -> Iterator[str]:
    """Yield providers whose sending and receipts are too long to be read in ten minutes."""
    lines = {module.path: len(module.source.splitlines()) for module in modules}
    for name in names:
        own = [f"providers/{path}.py" for path in (name, f"{name}/adapter", f"{name}/receipts")]
        counted = {path: lines[path] for path in own if path in lines}
        if (total := sum(counted.values())) > ADAPTER_LINES:
            yield f"{' + '.join(counted)}: {total} lines; at most {ADAPTER_LINES}"


def test_sending_and_receipts_of_a_provider_are_short() -> None:
    providers = importlib.import_module("providers.registry").PROVIDERS
    assert providers
    assert list(long_adapters(product(), providers)) == []


@pytest.mark.parametrize(
    ("lengths", "found"),
    [
        ({"acme": 200, "base": 250}, []),
        ({"acme": 201}, ["providers/acme.py: 201 lines; at most 200"]),
        ({"acme/adapter": 100, "acme/receipts": 100, "acme/reasons": 200}, []),
        (
            {"acme/adapter": 100, "acme/receipts": 101},
            ["providers/acme/adapter.py + providers/acme/receipts.py: 201 lines; at most 200"],
        ),
    ],
)
def test_the_line_after_the_limit_of_an_adapter_is_found(lengths: Mapping[str, int], found: list[str]) -> None:
    modules = [sample(f"providers/{path}.py", "\n" * count) for path, count in lengths.items()]
    assert list(long_adapters(modules, ["acme"])) == found


def test_nothing_in_the_root_is_named_after_a_standard_module() -> None:
    assert shadows(path.name for path in ROOT.iterdir() if path.is_dir() or path.suffix == ".py") == set()


def test_no_folder_has_a_meaningless_name() -> None:
    folders = [
        path.relative_to(ROOT).as_posix()
        for top in (*FOLDERS, *NOT_PRODUCT)
        for path in ((ROOT / top), *(ROOT / top).rglob("*"))
        if path.is_dir() and not hidden(path)
    ]
    assert folders
    assert empty_words(folders) == set()


@pytest.mark.parametrize(("extra", "found"), [(0, 0), (1, 1)])
def test_the_line_after_the_limit_of_a_module_is_found(extra: int, found: int) -> None:
    assert len(list(long_modules(sample("api/app.py", "x = 1\n" * (MODULE_LINES + extra))))) == found


@pytest.mark.parametrize(("extra", "found"), [(0, 0), (1, 1)])
def test_the_line_after_the_limit_of_a_function_is_found(extra: int, found: int) -> None:
    body = "        x = 1\n" * (FUNCTION_LINES - 1 + extra)
    source = f"class NotificationWorkflow:\n    @staticmethod\n    async def run():\n{body}"
    assert len(list(long_functions(sample("workflows/notification.py", source)))) == found


def test_a_name_that_shadows_a_standard_module_is_found() -> None:
    assert shadows(["email", "types.py", "api", "worker.py", "code.py"]) == {"email", "types.py", "code.py"}


def test_a_folder_with_a_meaningless_name_is_found() -> None:
    assert empty_words(["api/core", "storage/utils/sql", "domain"]) == {"api/core", "storage/utils/sql"}
