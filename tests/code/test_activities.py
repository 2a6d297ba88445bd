"""Test that `activities/` contains activities only: everything else that they need belongs to `services/` or below."""

import ast
from collections.abc import Iterator

import pytest

from tests.code.tree import Module, dotted, product, sample

DEFINITION = "activity.defn"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def is_activity(node: ast.stmt) -> bool:
    decorators = node.decorator_list if isinstance(node, FUNCTIONS) else []
    return any(dotted(one.func if isinstance(one, ast.Call) else one) == DEFINITION for one in decorators)


def non_activities(module: Module) -> Iterator[str]:
    """Yield functions outside classes, classes without an activity, and public methods that are no activities."""
    for node in module.tree.body:
        where = f"{module.path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, FUNCTIONS):
            yield f"{where}: {node.name} is a function outside a class"
        elif isinstance(node, ast.ClassDef):
            if not any(map(is_activity, node.body)):
                yield f"{where}: {node.name} has no activity"
            for method in node.body:
                if isinstance(method, FUNCTIONS) and not method.name.startswith("_") and not is_activity(method):
                    yield f"{where}: {node.name}.{method.name} is no activity"


def test_the_folder_contains_activities_only() -> None:
    modules = [module for module in product() if module.package == "activities"]
    assert [line for module in modules for line in non_activities(module)] == []
    assert any(is_activity(node) for module in modules for node in module.nodes if isinstance(node, FUNCTIONS))


CLASS = "class TickActivities:\n    @activity.defn\n    async def run_tick(self): ...\n"


@pytest.mark.parametrize(
    ("source", "problems"),
    [
        (CLASS, 0),
        (CLASS.replace("defn", "defn(name='tick')"), 0),
        (CLASS + "    def __init__(self): ...\n    async def _read(self): ...\n", 0),
        (CLASS + "    async def close_due(self): ...\n", 1),
        (CLASS + "def next_at(): ...\n", 1),
        ("class CircuitMonitor:\n    def _sync(self): ...\n", 1),
    ],
)
def test_other_definitions_are_found(source: str, problems: int) -> None:
    assert len(list(non_activities(sample("activities/ticks.py", source)))) == problems
