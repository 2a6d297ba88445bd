"""Check that a class name identifies one class of the product."""

import ast
from collections import Counter
from collections.abc import Iterable

from tests.code.tree import Module, product, sample


def repeated_names(modules: Iterable[Module]) -> dict[str, int]:
    counts = Counter(node.name for module in modules for node in module.nodes if isinstance(node, ast.ClassDef))
    return {name: count for name, count in counts.items() if count > 1}


def test_class_names_are_unique() -> None:
    assert repeated_names(product()) == {}


def test_a_repeated_class_name_is_found() -> None:
    modules = [sample("domain/a.py", "class Window: ..."), sample("storage/b.py", "class Window: ...")]
    assert repeated_names(modules) == {"Window": 2}
