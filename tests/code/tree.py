"""Find the product's source files in its known folders. Every test in this folder reads them from here."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Every place for product code. `test_imports.py` fails if the root holds another one.
FOLDERS = (
    "activities",
    "api",
    "commands",
    "config",
    "dispatch",
    "domain",
    "embedded",
    "metrics",
    "models",
    "providers",
    "rendering",
    "services",
    "storage",
    "supervision",
    "testing",
    "web",
    "workflows",
)
FILES = (
    "bootstrap",
    "cli",
    "logs",
    "worker",
)
NOT_PRODUCT = ("benchmarks", "deploy", "docs", "examples", "faults", "tests")
GENERATED = ("__pycache__", "node_modules")


@dataclass(frozen=True)
class Module:
    """Hold one file: `path` is relative to the root, with slashes."""

    path: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.path)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        return tuple(ast.walk(self.tree))

    @cached_property
    def full_names(self) -> tuple[tuple[ast.expr, str], ...]:
        return tuple(_full_names(self))

    @property
    def package(self) -> str:
        """Return `storage` for `storage/notifications.py`, `worker` for `worker.py`."""
        return self.path.split("/")[0].removesuffix(".py")


def hidden(path: Path) -> bool:
    return any(part.startswith(".") or part in GENERATED for part in path.relative_to(ROOT).parts)


def python_files(folder: str) -> Iterator[Module]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        if not hidden(path):
            yield Module(path.relative_to(ROOT).as_posix(), path.read_text())


@lru_cache
def product() -> tuple[Module, ...]:
    files = [
        Module(f"{name}.py", (ROOT / f"{name}.py").read_text()) for name in FILES if (ROOT / f"{name}.py").exists()
    ]
    return (*files, *(module for folder in FOLDERS for module in python_files(folder)))


@lru_cache
def suite() -> tuple[Module, ...]:
    return (*python_files("tests"), *python_files("faults"))


def sample(path: str, source: str) -> Module:
    """Build a module that only proves that a checker can fail."""
    return Module(path, source)


def dotted(node: ast.AST) -> str:
    """Return `os.environ` for the attribute of that name, "" for anything except a plain dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (left := dotted(node.value)):
        return f"{left}.{node.attr}"
    return ""


def imported_names(module: Module) -> dict[str, str]:
    """Return local name → full name: `{"nap": "time.sleep"}` after `from time import sleep as nap`."""
    names: dict[str, str] = {}
    for node in module.nodes:
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def full_names(module: Module) -> tuple[tuple[ast.expr, str], ...]:
    """Yield every dotted name that is used, with imports resolved: `nap` becomes `time.sleep`."""
    return module.full_names


def _full_names(module: Module) -> Iterator[tuple[ast.expr, str]]:
    names = imported_names(module)
    for node in module.nodes:
        if isinstance(node, ast.Name | ast.Attribute) and (name := dotted(node)):
            first, _, rest = name.partition(".")
            yield node, ".".join(filter(None, (names.get(first, first), rest)))
