"""What an apply would change: the items of a folder beside what the server has, as a plan that people can read."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from api.schemas.notification_types import TypeBody
from commands.client import ApiClient
from commands.folder import TEMPLATE_ITEM, TYPE_ITEM, FolderItem, Json

TEMPLATE_FIELDS = ("subject_template", "body_template", "text_template", "variables_schema")


@dataclass(frozen=True)
class PlannedChange:
    """`before` is None for something new. Both are complete, with defaults, so that equal means equal."""

    item: FolderItem
    before: Json | None
    after: Json

    @property
    def new(self) -> bool:
        return self.before is None

    def lines(self) -> Iterator[str]:
        yield f"{'+' if self.new else '~'} {self.item.title}"
        if self.before is not None:
            for name in [*self.after, *(name for name in self.before if name not in self.after)]:
                yield from _difference_lines(name, self.before.get(name), self.after.get(name))


@dataclass(frozen=True)
class ServerResources:
    """What it has: types by key, and of each template's place the version in force."""

    types: dict[str, Json]
    templates: dict[tuple[str, ...], Json | None]


async def read_server_resources(api: ApiClient) -> ServerResources:
    types = {
        notification_type["key"]: notification_type for notification_type in await api.list_all("/notification-types")
    }
    templates: dict[tuple[str, ...], Json | None] = {}
    for newest in await api.list_all("/templates"):
        resource_key = (newest["name"], newest["channel"], newest["language"])
        templates[resource_key] = (
            newest if newest["version"] == newest["published_version"] else await _published_version(api, newest)
        )
    return ServerResources(types=types, templates=templates)


async def _published_version(api: ApiClient, newest: Json) -> Json | None:
    """Somebody saved a version without publishing it, or rolled back: what counts is what is in force."""
    where = {"channel": newest["channel"], "language": newest["language"]}
    versions = await api.list_all(f"/templates/{newest['name']}/versions", **where)
    return next((one for one in versions if one["version"] == newest["published_version"]), None)


def plan_changes(items: Sequence[FolderItem], server: ServerResources) -> list[PlannedChange]:
    """In the order of the items; what is the same is left out. What only the server has stays there."""
    changes = [_planned_change(item, server) for item in items]
    return [change for change in changes if change.before != change.after]


def _planned_change(item: FolderItem, server: ServerResources) -> PlannedChange:
    if item.resource_type == TEMPLATE_ITEM:
        template = server.templates.get(item.resource_key)
        return PlannedChange(item, template and {name: template[name] for name in TEMPLATE_FIELDS}, item.body)
    [key] = item.resource_key
    notification_type = server.types.get(key)
    before = notification_type and {
        name: value for name, value in notification_type.items() if name not in ("version", "created_at")
    }
    return PlannedChange(item, before, TypeBody.model_validate(item.body).spec(key))


async def apply_change(api: ApiClient, change: PlannedChange) -> Sequence[str]:
    """Return the server's warnings of a type; those of a template are known from the check of the folder."""
    if change.item.resource_type == TYPE_ITEM:
        saved = await api.call("PUT", f"/notification-types/{change.item.resource_key[0]}", change.item.body)
        return list(saved.get("warnings", ()))
    name, channel, language = change.item.resource_key
    resource_key = {"name": name, "channel": channel, "language": language}
    await api.call("POST", "/templates", {**resource_key, **change.item.body, "publish": True})
    return ()


def _difference_lines(name: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        return
    yield f"    {name}:"
    lines = difflib.unified_diff(_text_lines(before), _text_lines(after), n=1, lineterm="")
    yield from (f"    {line[0]} {line[1:]}" for line in list(lines)[2:] if not line.startswith("@@"))


def _text_lines(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, dict | list):
        return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).splitlines()
    return str(value).splitlines()
