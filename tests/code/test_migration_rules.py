"""Migrations after the baseline change large tables without blocking those who use them."""

import ast
from collections.abc import Iterator

import pytest

from tests.code.tree import Module, python_files, sample

VERSIONS = "storage/migrations/versions"
BASELINE = f"{VERSIONS}/0001_baseline.py"
# Operation → the argument that it needs. An index is built in `autocommit_block`; a constraint is validated later.
NEEDED = {
    "create_index": "postgresql_concurrently",
    "drop_index": "postgresql_concurrently",
    "create_foreign_key": "postgresql_not_valid",
    "create_check_constraint": "postgresql_not_valid",
}
# They lock the table while they read or rewrite all of it.
REFUSED = {
    "create_unique_constraint": "build a unique index concurrently",
    "alter_column": "add a column, and fill it in batches",
    "rename_table": "create a view, or a table that the next version uses",
}


def blocking_operations(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, place = node.func.attr, f"{module.path}:{node.lineno}: {node.func.attr}"
        if name in REFUSED:
            yield f"{place} locks the table: {REFUSED[name]}"
        elif name in NEEDED and NEEDED[name] not in {keyword.arg for keyword in node.keywords}:
            yield f"{place} needs {NEEDED[name]}=True"


def test_later_migrations_block_no_table() -> None:
    modules = {module.path: module for module in python_files(VERSIONS)}
    assert BASELINE in modules
    later = [module for path, module in modules.items() if path != BASELINE]
    assert [found for module in later for found in blocking_operations(module)] == []


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ('op.create_index("a", "event", ["at"])', "needs postgresql_concurrently"),
        ('op.create_check_constraint("a", "event", "at > 0")', "needs postgresql_not_valid"),
        ('op.alter_column("event", "at", nullable=False)', "locks the table"),
    ],
)
def test_a_blocking_operation_is_found(source: str, problem: str) -> None:
    [found] = blocking_operations(sample(f"{VERSIONS}/0002_later.py", source))
    assert problem in found


def test_an_operation_that_blocks_no_table_is_accepted() -> None:
    source = 'op.create_index("a", "event", ["at"], postgresql_concurrently=True)\nop.add_column("event", column)'
    assert list(blocking_operations(sample(f"{VERSIONS}/0002_later.py", source))) == []
