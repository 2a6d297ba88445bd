"""Every file in `storage/sql/` belongs to the module that its folder is named after, and every name has its file."""

import ast
from collections.abc import Iterator

import pytest

from storage.statements import SQL_FOLDER, statement
from tests.code.tree import Module, product, sample


def file_names() -> list[str]:
    return sorted(path.relative_to(SQL_FOLDER).with_suffix("").as_posix() for path in SQL_FOLDER.rglob("*.sql"))


def loaded_names(module: Module) -> Iterator[str]:
    """Yield the name of each statement that the module loads."""
    for node in module.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "statement":
            [name] = node.args
            yield str(name.value) if isinstance(name, ast.Constant) else f"a name that is computed: {ast.unparse(name)}"


def misplaced_names(module: Module) -> list[str]:
    """Return the names that do not begin with the module's own."""
    folder = module.path.removeprefix("storage/").removesuffix(".py")
    return [f"{module.path}: {name}" for name in loaded_names(module) if not name.startswith(f"{folder}/")]


def test_each_sql_file_is_loaded_and_each_loaded_name_has_a_file() -> None:
    assert file_names() == sorted(name for module in product() for name in loaded_names(module))


def test_a_module_loads_only_the_statements_of_its_own_folder() -> None:
    assert [name for module in product() for name in misplaced_names(module)] == []


def test_a_statement_of_another_folder_or_with_a_computed_name_is_reported() -> None:
    module = sample("storage/claims.py", 'A = statement("attempts/claim")\nB = statement(f"claims/{name}")')
    assert misplaced_names(module) == [
        "storage/claims.py: attempts/claim",
        "storage/claims.py: a name that is computed: f'claims/{name}'",
    ]


def test_a_name_without_a_file_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        statement("claims/no_such_statement")


def test_a_statement_is_loaded_without_its_comments() -> None:
    texts = {name: statement(name).text for name in file_names()}
    assert [name for name, sql in texts.items() if "--" in sql or not sql] == []
