"""Freeze the names of workflows and activities: every open history has them, and a renamed one strands open
notifications."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType

from temporalio import activity, workflow

import activities
import workflows

WORKFLOWS = {"NotificationWorkflow", "DigestWorkflow", "TickWorkflow"}
ACTIVITIES = {
    *("resolve_preferences", "render_messages", "deliver", "look_up", "record_outcome"),
    *("settle", "check_step", "close_digest", "run_tick"),
}


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


def classes(found: Iterable[ModuleType]) -> set[type]:
    return {
        member
        for module in found
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__
    }


def workflow_names(found: Iterable[ModuleType]) -> list[str]:
    definitions = [workflow._Definition.from_class(member) for member in classes(found)]
    return sorted(str(definition.name) for definition in definitions if definition)


def activity_names(found: Iterable[ModuleType]) -> list[str]:
    """Return the names of methods and plain functions."""
    owners = [*(found := list(found)), *classes(found)]
    functions = {member for owner in owners for _, member in inspect.getmembers(owner, inspect.isfunction)}
    definitions = [activity._Definition.from_callable(function) for function in functions]
    return sorted(str(definition.name) for definition in definitions if definition)


def test_workflow_names_are_frozen() -> None:
    assert workflow_names(modules(workflows)) == sorted(WORKFLOWS)


def test_activity_names_are_frozen() -> None:
    assert activity_names(modules(activities)) == sorted(ACTIVITIES)


@workflow.defn(name="Renamed")
class SampleWorkflow:
    @workflow.run
    async def run(self) -> None: ...


class SampleActivities:
    @activity.defn(name="renamed")
    async def send(self) -> None: ...

    async def no_activity(self) -> None: ...


def test_names_are_read_from_the_definitions_and_not_from_the_code() -> None:
    here = sys.modules[__name__]
    assert workflow_names([here]) == ["Renamed"]
    assert activity_names([here]) == ["renamed"]
