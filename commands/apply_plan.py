"""Plan the changes of an apply: compare the items of a folder with the server, and format the differences."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from api.schemas.notification_types import TypeBody
from api.schemas.push import PushSpec
from commands.client import ApiClient
from commands.folder import TEMPLATE_ITEM, TYPE_ITEM, FolderItem
from domain.json_types import Json

TEMPLATE_FIELDS = ("subject_template", "body_template", "text_template", "push", "variables_schema")


@dataclass(frozen=True)
class PlannedChange:
    """`before` is None for a new item. Both sides are complete, with defaults, so that equal values mean no change."""

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
    """The types of the server by key, and the version in force of each template by name, channel and language."""

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
    """Return the version in force, if the newest one is not published or was rolled back."""
    where = {"channel": newest["channel"], "language": newest["language"]}
    versions = await api.list_all(f"/templates/{newest['name']}/versions", **where)
    return next((one for one in versions if one["version"] == newest["published_version"]), None)


def plan_changes(items: Sequence[FolderItem], server: ServerResources) -> list[PlannedChange]:
    """Return the changes in the order of the items. Items that only the server has stay unchanged."""
    changes = [_planned_change(item, server) for item in items]
    return [change for change in changes if change.before != change.after]


def _planned_change(item: FolderItem, server: ServerResources) -> PlannedChange:
    if item.resource_type == TEMPLATE_ITEM:
        template = server.templates.get(item.resource_key)
        return PlannedChange(item, template and _template_fields(template), _template_fields(item.body))
    [key] = item.resource_key
    notification_type = server.types.get(key)
    before = notification_type and {
        name: value for name, value in notification_type.items() if name not in ("version", "created_at")
    }
    return PlannedChange(item, before, TypeBody.model_validate(item.body).spec(key))


def _template_fields(template: Json) -> Json:
    """Return the fields to compare. The server lists every rich field, a file only those that it sets."""
    push = template["push"] and PushSpec.model_validate(template["push"]).stored
    return {**{name: template[name] for name in TEMPLATE_FIELDS}, "push": push}


async def apply_change(api: ApiClient, change: PlannedChange) -> Sequence[str]:
    """Return the server's warnings for a type. Those of a template are known from the check of the folder."""
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
