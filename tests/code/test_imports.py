"""Check that imports point down the tree, and that each library stays in its packages (`docs/decisions/`,
CONTRIBUTING.md)."""

import ast
import sys
from collections.abc import Iterator

import pytest

from tests.code.tree import FILES, FOLDERS, GENERATED, NOT_PRODUCT, ROOT, Module, full_names, product, sample

# From top to bottom. A module imports its own package and packages strictly below it.
LEVELS: tuple[frozenset[str], ...] = tuple(
    frozenset(line.split())
    for line in (
        "testing",
        "worker cli",
        "commands",
        "api",
        "web",
        "embedded",
        "bootstrap logs supervision",
        "dispatch",
        "workflows",
        "activities",
        "services",
        "providers storage rendering",
        "models",
        "config",
        "metrics",
        "domain",
    )
)
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}

# Packages that only some of the packages above may import.
IMPORTED_ONLY_BY = {"web": {"api"}, "embedded": {"cli", "commands", "testing"}, "commands": {"cli", "testing"}}
# Narrower than their level: no other packages, and only these libraries.
IMPORTS_ONLY = {"workflows": {"domain", "activities"}, "domain": set[str]()}
LIBRARIES_ONLY = {"workflows": {"temporalio"}, "domain": set[str]()}

TEMPORAL = {"workflows", "activities", "dispatch", "bootstrap", "worker", "cli", "testing"}
# A schema may take seconds and gigabytes: it is compiled in the child, which has limits.
CHILD_ONLY = {"jsonschema_rs": {"rendering/schema_problems.py", "rendering/validators.py"}}
IN_THE_CHILD = {"rendering/child.py", *CHILD_ONLY["jsonschema_rs"]}
SQL = {"models", "storage", "bootstrap", "testing"}
SESSIONS_AS_TYPES = {"activities", "services", "dispatch", "api", "commands"}
ENVIRONMENT = {"config", "embedded"}


def imports(module: Module) -> Iterator[str]:
    """Yield full dotted names of imported modules; a relative import counts as the own package."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{module.package}." if node.level else str(node.module)


def wrong_directions(module: Module) -> Iterator[str]:
    own = module.package
    for name in imports(module):
        other = name.split(".")[0]
        if other not in LEVEL or other == own:
            continue
        if LEVEL[other] <= LEVEL[own]:
            yield f"{module.path}: {own} imports {other}, which does not stand below it"
        elif own not in IMPORTED_ONLY_BY.get(other, {own}):
            yield f"{module.path}: only {', '.join(IMPORTED_ONLY_BY[other])} may import {other}"
        elif other not in IMPORTS_ONLY.get(own, {other}):
            yield f"{module.path}: {own} may not import {other}"


def foreign_libraries(module: Module) -> Iterator[str]:
    own = module.package
    for name in imports(module):
        library = name.split(".")[0]
        if library in LEVEL or library in sys.stdlib_module_names:
            continue
        if library not in LIBRARIES_ONLY.get(own, {library}):
            yield f"{module.path}: {own} may not import {library}"
        if module.path not in CHILD_ONLY.get(library, {module.path}):
            yield f"{module.path}: {library} is for the rendering child only"
        if library == "prometheus_client" and own != "metrics":
            yield f"{module.path}: prometheus_client has no place in {own}"
        if library == "temporalio" and own not in TEMPORAL:
            yield f"{module.path}: temporalio has no place in {own}"
        if library in ("sqlalchemy", "sqlmodel") and own not in SQL:
            if own in SESSIONS_AS_TYPES and name == "sqlalchemy.ext.asyncio":
                yield from sessions_that_are_made(module)
            else:
                yield f"{module.path}: {name} has no place in {own}"


def parts_of_the_child(module: Module) -> Iterator[str]:
    """Yield imports that would bring the child's libraries into another process."""
    own = {path.removesuffix(".py").replace("/", ".") for path in IN_THE_CHILD}
    if module.path not in IN_THE_CHILD:
        yield from (f"{module.path}: {name} runs in the child only" for name in imports(module) if name in own)


def sessions_that_are_made(module: Module) -> Iterator[str]:
    """Yield creations of sessions. Outside storage and bootstrap a session is only a type in a signature."""
    names = {id(node): name for node, name in full_names(module)}
    for node in module.nodes:
        if isinstance(node, ast.Call) and names.get(id(node.func), "").startswith("sqlalchemy."):
            yield f"{module.path}:{node.lineno}: {names[id(node.func)]} is a type here and may not be called"


def environment_reads(module: Module) -> Iterator[str]:
    if module.package in ENVIRONMENT:
        return
    cleared = {id(node.value) for node in module.nodes if isinstance(node, ast.Attribute) and node.attr == "clear"}
    for node, name in full_names(module):
        forgets = module.package == "rendering" and (id(node) in cleared or name == "os.environ.clear")
        if name.startswith(("os.environ", "os.getenv", "os.putenv")) and not forgets:
            yield f"{module.path}:{node.lineno}: {name}; settings come from config"


def test_imports_point_down_the_tree() -> None:
    assert [line for module in product() for line in wrong_directions(module)] == []


def test_each_library_stays_where_it_belongs() -> None:
    assert [line for module in product() for line in foreign_libraries(module)] == []


def test_only_the_child_compiles_schemas() -> None:
    assert [line for module in product() for line in parts_of_the_child(module)] == []
    assert list(parts_of_the_child(sample("api/send_checks.py", "from rendering.validators import Validators")))


def test_only_settings_and_the_embedded_stack_read_the_environment() -> None:
    assert [line for module in product() for line in environment_reads(module)] == []


def test_every_root_module_and_folder_has_a_place_in_the_order() -> None:
    code = {path.stem for path in ROOT.glob("*.py")} | {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in GENERATED
    }
    assert code - set(NOT_PRODUCT) <= set(LEVEL)
    assert {*FOLDERS, *FILES} == set(LEVEL)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("storage/reconsiderations.py", "from providers.base import Provider"),
        ("providers/twilio.py", "import storage.attempts"),
        ("rendering/render.py", "from storage import templates"),
        ("domain/ledger.py", "from models.deliveries import Delivery"),
        ("models/deliveries.py", "from storage.deliveries import load"),
        ("workflows/notification.py", "from storage import notifications"),
        ("workflows/notification.py", "from config import Settings"),
        ("bootstrap.py", "from embedded.postgres import start"),
        ("worker.py", "from embedded.postgres import start"),
        ("api/app.py", "import embedded"),
        ("worker.py", "from web.console import page"),
        ("cli.py", "import worker"),
        ("api/app.py", "from worker import main"),
        ("worker.py", "from commands.client import Api"),
        ("embedded/stack.py", "from commands.demo import greet"),
        ("web/console.py", "from api.app import app"),
        ("activities/deliver.py", "def late() -> None:\n    from workflows.options import VENDOR_CALL"),
        ("services/gates.py", "from activities.deliver import Deliver"),
        ("storage/acceptance.py", "from services.gates import GateCheck"),
        ("workflows/notification.py", "from services.gates import GateCheck"),
    ],
)
def test_an_import_that_points_up_or_sideways_is_found(path: str, source: str) -> None:
    assert len(list(wrong_directions(sample(path, source)))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("api/app.py", "from web.console import page\nfrom api.errors import Problem\nimport storage.keys"),
        ("cli.py", "from embedded.stack import up\nfrom bootstrap import build"),
        ("workflows/sweep.py", "from workflows.options import SQL\nfrom activities.deliver import Deliver"),
        ("models/deliveries.py", "from .notifications import Notification\nimport uuid\nimport sqlmodel"),
        ("config/__init__.py", "from domain.channels import Channel"),
    ],
)
def test_an_import_that_points_down_is_allowed(path: str, source: str) -> None:
    assert list(wrong_directions(sample(path, source))) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("storage/sandbox.py", "from temporalio.client import Client"),
        ("api/app.py", "import temporalio"),
        ("services/gates.py", "from temporalio import activity"),
        ("activities/deliver.py", "from prometheus_client import Counter"),
        ("domain/messages.py", "import pydantic"),
        ("workflows/notification.py", "import httpx2"),
        ("rendering/render.py", "from sqlalchemy import text"),
        ("rendering/renderer.py", "import jsonschema_rs"),
        ("api/send_checks.py", "from jsonschema_rs import Draft202012Validator"),
        ("activities/deliver.py", "from sqlalchemy import select"),
        ("api/app.py", "from sqlmodel import Session"),
        ("dispatch/loop.py", "from sqlalchemy.ext.asyncio import AsyncSession\nsession = AsyncSession()"),
        ("api/app.py", "from sqlalchemy.ext.asyncio import create_async_engine as make\nengine = make('x')"),
    ],
)
def test_a_library_in_the_wrong_place_is_found(path: str, source: str) -> None:
    assert len(list(foreign_libraries(sample(path, source)))) == 1


def test_a_session_may_be_named_in_a_signature() -> None:
    source = "from sqlalchemy.ext.asyncio import AsyncSession\nasync def send(session: AsyncSession) -> None: ..."
    assert list(foreign_libraries(sample("api/app.py", source))) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("providers/twilio.py", "import os\ntoken = os.environ['TOKEN']"),
        ("bootstrap.py", "from os import getenv\nurl = getenv('URL')"),
        ("rendering/child.py", "import os\nhome = os.environ.get('HOME')"),
        ("storage/database.py", "import os\nos.environ.clear()"),
    ],
)
def test_reading_the_environment_is_found(path: str, source: str) -> None:
    assert list(environment_reads(sample(path, source)))


def test_the_rendering_child_may_forget_its_environment() -> None:
    assert list(environment_reads(sample("rendering/child.py", "import os\nos.environ.clear()"))) == []
