"""Check that workflow code is deterministic, since it runs without the SDK's sandbox: `workflows/`, and each module
of `domain/` that it imports directly or indirectly."""

import ast
from collections.abc import Iterator, Sequence

import pytest

from tests.code.tree import Module, full_names, product, sample

# Prefixes of dotted names whose result differs from one replay to the next.
NOT_REPLAYABLE = (
    "asyncio.get_event_loop",
    "asyncio.get_running_loop",
    "asyncio.sleep",
    "asyncio.to_thread",
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "domain.clock",
    "os",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uuid.uuid1",
    "uuid.uuid4",
    "uuid_utils",
)
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
# The result of these does not depend on the order of their input.
ORDERLESS = {"all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"}
MUTABLE = (ast.Dict, ast.DictComp, ast.List, ast.ListComp, ast.Set, ast.SetComp)
MUTATING = {"add", "append", "clear", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}


def workflow_code(modules: Sequence[Module]) -> list[Module]:
    """Return `workflows/` and the modules of `domain/` that it imports."""
    domain = {module.path.removesuffix(".py").replace("/", "."): module for module in modules}
    reached = [module for module in modules if module.package == "workflows"]
    for module in reached:  # grows while it is read
        for name in _imports(module):
            if name.startswith("domain.") and (found := domain.get(name)) is not None and found not in reached:
                reached.append(found)
    return reached


def _imports(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def nondeterminism(module: Module) -> Iterator[str]:
    for used, name in full_names(module):
        if any(name == banned or name.startswith(f"{banned}.") for banned in NOT_REPLAYABLE):
            yield f"{module.path}:{used.lineno}: {name} differs between replays"
    for node in module.nodes:
        if isinstance(node, ast.Global):
            yield f"{module.path}:{node.lineno}: a global that changes is shared by all workflows of the process"
    yield from _changed_constants(module)
    yield from _set_iterations(module)


def _changed_constants(module: Module) -> Iterator[str]:
    """Return mutable values at module level that the module itself changes."""
    constants = {
        target.id
        for node in module.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, MUTABLE)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in module.nodes:
        changed = _changed(node)
        if changed in constants:
            yield f"{module.path}:{node.lineno}: {changed} is shared by all workflows of the process"  # type: ignore[attr-defined]


def _changed(node: ast.AST) -> str | None:
    """Return the name whose value a call or an assignment to an item changes."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATING:
        return node.func.value.id if isinstance(node.func.value, ast.Name) else None
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return node.value.id if isinstance(node.value, ast.Name) else None
    return None


def _set_iterations(module: Module) -> Iterator[str]:
    """Return iterations over sets, whose order changes with the hash seed of the process."""
    orderless = {
        id(generator)
        for node in module.nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ORDERLESS
        for argument in node.args
        if isinstance(argument, ast.GeneratorExp | ast.ListComp)
        for generator in argument.generators
    } | {id(generator) for node in module.nodes if isinstance(node, ast.SetComp) for generator in node.generators}
    for function in module.nodes:
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module):
            names = set(_set_names(function))
            for node in _own_nodes(function):
                loop = isinstance(node, ast.For | ast.AsyncFor | ast.comprehension) and id(node) not in orderless
                if loop and _is_set(node.iter, names):  # type: ignore[attr-defined]
                    yield f"{module.path}:{node.iter.lineno}: iterates over a set"  # type: ignore[attr-defined]


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _own_nodes(child)


def _set_names(function: ast.AST) -> Iterator[str]:
    for node in _own_nodes(function):
        if isinstance(node, ast.Assign) and _is_set(node.value, set()):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        if isinstance(node, ast.AnnAssign | ast.arg) and _names_a_set(node.annotation):
            name = node.target if isinstance(node, ast.AnnAssign) else node
            yield name.arg if isinstance(name, ast.arg) else name.id if isinstance(name, ast.Name) else ""


def _names_a_set(annotation: ast.expr | None) -> bool:
    name = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return isinstance(name, ast.Name) and name.id in {"set", "frozenset", "Set", "AbstractSet"}


def _is_set(node: ast.expr, names: set[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Name(id=name):
            return name in names
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in SET_METHODS:
            return _is_set(value, names)
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() | ast.Sub() | ast.BitXor(), right=right):
            return _is_set(left, names) or _is_set(right, names)
    return False


def test_workflow_code_is_deterministic() -> None:
    assert [line for module in workflow_code(product()) for line in nondeterminism(module)] == []


def test_workflow_code_includes_its_imports_of_domain() -> None:
    paths = {module.path for module in workflow_code(product())}
    assert {"workflows/notification.py", "domain/retries.py", "domain/messages.py"} <= paths
    assert "domain/clock.py" not in paths


@pytest.mark.parametrize(
    "source",
    [
        "import time\nat = time.time()",
        "from datetime import UTC, datetime\ndef f(): return datetime.now(UTC)",
        "import random\ndef f(): return random.random()",
        "from uuid import uuid4\ndef f(): return uuid4()",
        "import os\ndef f(): return os.environ['HOME']",
        "from domain.clock import now\ndef f(): return now()",
        "import asyncio\nasync def f(): await asyncio.sleep(1)",
        "seen = 0\ndef f():\n    global seen\n    seen += 1",
        "SEEN: dict[str, int] = {}\ndef f(): SEEN['a'] = 1",
        "SEEN = []\ndef f(): SEEN.append(1)",
        "def f(names: set[str]):\n    for name in names: print(name)",
        "def f(): return [x for x in {1, 2}]",
        "def f(a):\n    both = set(a) & {1}\n    for x in both: print(x)",
        "def f(a, b): return tuple(x for x in frozenset(a) | b)",
    ],
)
def test_nondeterministic_code_is_found(source: str) -> None:
    assert list(nondeterminism(sample("workflows/waits.py", source))) != []


@pytest.mark.parametrize(
    "source",
    [
        "from temporalio import workflow\nasync def f(): await workflow.sleep(1); return workflow.now()",
        "def f(names: set[str]): return sorted(name for name in names)",
        "def f(names: set[str]): return {name.lower() for name in names}",
        "ORDER = (1, 2)\ndef f(): return [x for x in ORDER]",
        "from datetime import datetime\ndef f(at: datetime): return at.isoformat()",
    ],
)
def test_deterministic_code_is_allowed(source: str) -> None:
    assert list(nondeterminism(sample("workflows/waits.py", source))) == []
