"""Ban habits that hide errors or slow tests: swallowed errors, sleeps, prints, asserts, promises in comments."""

import ast
import io
import tokenize
from collections.abc import Iterator

import pytest

from tests.code.tree import Module, full_names, product, sample, suite

BROAD = {"Exception", "BaseException"}
SLEEPS = {"time.sleep", "asyncio.sleep", "anyio.sleep", "trio.sleep"}
PRINTS = {"cli", "commands", "embedded", "benchmarks", "faults"}
PROMISES = ("TODO", "FIXME", "XXX")

# File → reason. Wait for a condition with a deadline instead; a sleep is for cases without a condition.
MAY_SLEEP: dict[str, str] = {
    "providers/network_guard.py": "a refused target fails after the same time as one that cannot be reached",
    "dispatch/start_holds.py": "an operator ends the hold in the database; asked once a second",
    "dispatch/work_announcer.py": "the least time between two announcements, however many are made",
    "dispatch/sandbox_receipt_poster.py": "the least time between two polls, however often it is woken",
    "dispatch/notify_listener.py": "back-off before a database that went away is asked again",
    "commands/client.py": "asks the API about a notification until a deadline",
    "commands/tail.py": "asks the API for news until Ctrl-C",
    "supervision/watchdog.py": "a beat every second, and a check that a blocked event loop cannot prevent",
    "tests/supervision/test_watchdog.py": "a process that is stopped for a time, longer than a beat may be late",
    "domain/time_slices.py": "a sleep of 0 lets the event loop serve other requests between two items",
    "testing/polling.py": "the one place where tests wait for a condition, with a deadline",
    "faults/pace.py": "how long an outage lasts, and how far two sends are apart, are durations",
    "storage/migrate.py": "asks for a lock that another process holds, without a statement that waits",
    "storage/encryption_keys.py": "asks for a lock that another process holds while it encrypts what is stored",
    "worker.py": "back-off before a Temporal that does not answer is asked again",
    "embedded/orphan_processes.py": "a process that is not our child cannot be waited for; asked until a deadline",
    "embedded/supervisor.py": "back-off between restarts; a child's readiness is asked until a deadline",
}


def prints(module: Module) -> Iterator[str]:
    if module.package in PRINTS:
        return
    for node in module.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{module.path}:{node.lineno}: print; use the log"


def is_broad(expression: ast.expr | None) -> bool:
    if isinstance(expression, ast.Tuple):
        return any(is_broad(element) for element in expression.elts)
    return expression is None or (isinstance(expression, ast.Name) and expression.id in BROAD)


def outer_handlers(module: Module) -> set[int]:
    """Return handlers in a workflow's `run`: the one place where any bug must become a settled notification."""
    if module.package != "workflows":
        return set()
    return {
        id(handler)
        for function in module.nodes
        if isinstance(function, ast.AsyncFunctionDef) and function.name == "run"
        for handler in ast.walk(function)
        if isinstance(handler, ast.ExceptHandler)
    }


def broad_excepts(module: Module) -> Iterator[str]:
    allowed = outer_handlers(module)
    for node in module.nodes:
        if isinstance(node, ast.ExceptHandler) and is_broad(node.type) and id(node) not in allowed:
            yield f"{module.path}:{node.lineno}: name the errors that can happen here"
    for node in module.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called == "suppress" and any(is_broad(argument) for argument in node.args):
                yield f"{module.path}:{node.lineno}: name the errors that are suppressed"


def sleeps(module: Module) -> Iterator[str]:
    if "sleep" not in module.source:  # most modules of the suite need not be parsed
        return
    for node, name in full_names(module):
        if name in SLEEPS:
            yield f"{module.path}:{node.lineno}: {name}"


def without_docstring(module: Module) -> Iterator[str]:
    if module.source.strip() and not ast.get_docstring(module.tree):
        yield f"{module.path}: say what the file is for and who calls it"


def asserts(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, ast.Assert):
            yield f"{module.path}:{node.lineno}: python -O drops asserts; raise instead"


def promises(module: Module) -> Iterator[str]:
    if not any(word in module.source for word in PROMISES):
        return
    for token in tokenize.generate_tokens(io.StringIO(module.source).readline):
        if token.type == tokenize.COMMENT and any(word in token.string for word in PROMISES):
            yield f"{module.path}:{token.start[0]}: {token.string}"


def test_the_product_does_not_print() -> None:
    assert [line for module in product() for line in prints(module)] == []


def test_no_error_is_caught_unnamed() -> None:
    assert [line for module in product() for line in broad_excepts(module)] == []


def test_nothing_waits_by_sleeping() -> None:
    modules = [module for module in (*product(), *suite()) if module.path not in MAY_SLEEP]
    assert [line for module in modules for line in sleeps(module)] == []


def test_every_permission_to_sleep_is_still_needed() -> None:
    asleep = {module.path for module in (*product(), *suite()) if list(sleeps(module))}
    assert set(MAY_SLEEP) <= asleep
    assert all(MAY_SLEEP.values())


def test_every_module_has_a_docstring() -> None:
    assert [line for module in product() for line in without_docstring(module)] == []


def test_the_product_does_not_assert() -> None:
    assert [line for module in product() for line in asserts(module)] == []


def test_no_comment_promises_later_work() -> None:
    assert [line for module in (*product(), *suite()) for line in promises(module)] == []


def test_a_print_is_found_outside_the_command_line() -> None:
    assert list(prints(sample("api/app.py", "print('here')")))
    assert not list(prints(sample("cli.py", "print('here')")))


@pytest.mark.parametrize(
    "source",
    [
        "try: go()\nexcept: pass",
        "try: go()\nexcept Exception: pass",
        "try: go()\nexcept (ValueError, BaseException) as error: pass",
        "from contextlib import suppress\nwith suppress(Exception): go()",
    ],
)
def test_an_unnamed_error_is_found(source: str) -> None:
    assert list(broad_excepts(sample("dispatch/loop.py", source)))


def test_only_the_run_of_a_workflow_may_catch_everything() -> None:
    source = "class W:\n    async def {}(self):\n        try: go()\n        except Exception: settle()"
    assert not list(broad_excepts(sample("workflows/notification.py", source.format("run"))))
    assert list(broad_excepts(sample("workflows/notification.py", source.format("deliver"))))
    assert list(broad_excepts(sample("activities/deliver.py", source.format("run"))))


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.sleep(1)",
        "import asyncio as aio\nawait aio.sleep(0)",
        "from time import sleep as nap\nnap(1)",
        "import asyncio\nwait = asyncio.sleep",
    ],
)
def test_a_sleep_is_found_under_any_name(source: str) -> None:
    assert list(sleeps(sample("tests/test_waiting.py", source)))


def test_a_durable_timer_is_not_a_sleep() -> None:
    source = "from temporalio import workflow\nasync def wait(): await workflow.sleep(60)"
    assert not list(sleeps(sample("workflows/notification.py", source)))


def test_a_module_without_a_docstring_is_found() -> None:
    assert list(without_docstring(sample("api/app.py", "import os")))
    assert not list(without_docstring(sample("api/__init__.py", "")))


def test_an_assert_is_found() -> None:
    assert list(asserts(sample("api/app.py", "assert True")))


def test_a_promise_in_a_comment_is_found_and_not_in_a_text() -> None:
    assert list(promises(sample("api/app.py", "x = 1  # TO" + "DO: later")))
    assert not list(promises(sample("api/app.py", "x = 'TODO'")))
