"""What an apply would change: the items of a folder beside what the server has, as a plan that people can read."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from api.schemas.notification_types import TypeBody
from commands.client import Api
from commands.folder import TEMPLATE, TYPE, Item, Json

CONTENT = ("subject_template", "body_template", "text_template", "variables_schema")


@dataclass(frozen=True)
class Change:
    """`before` is None for something new. Both are complete, with defaults, so that equal means equal."""

    item: Item
    before: Json | None
    after: Json

    @property
    def new(self) -> bool:
        return self.before is None

    def lines(self) -> Iterator[str]:
        yield f"{'+' if self.new else '~'} {self.item.title}"
        if self.before is not None:
            for name in [*self.after, *(name for name in self.before if name not in self.after)]:
                yield from _difference(name, self.before.get(name), self.after.get(name))


@dataclass(frozen=True)
class Server:
    """What it has: types by key, and of each template's place the version in force."""

    types: dict[str, Json]
    templates: dict[tuple[str, ...], Json | None]


async def look(api: Api) -> Server:
    types = {kind["key"]: kind for kind in await api.every("/notification-types")}
    templates: dict[tuple[str, ...], Json | None] = {}
    for newest in await api.every("/templates"):
        place = (newest["name"], newest["channel"], newest["language"])
        templates[place] = newest if newest["version"] == newest["published_version"] else await _published(api, newest)
    return Server(types=types, templates=templates)


async def _published(api: Api, newest: Json) -> Json | None:
    """Somebody saved a version without publishing it, or rolled back: what counts is what is in force."""
    where = {"channel": newest["channel"], "language": newest["language"]}
    versions = await api.every(f"/templates/{newest['name']}/versions", **where)
    return next((one for one in versions if one["version"] == newest["published_version"]), None)


def compare(items: Sequence[Item], server: Server) -> list[Change]:
    """In the order of the items; what is the same is left out. What only the server has stays there."""
    changes = [_change(item, server) for item in items]
    return [change for change in changes if change.before != change.after]


def _change(item: Item, server: Server) -> Change:
    if item.kind == TEMPLATE:
        template = server.templates.get(item.place)
        return Change(item, template and {name: template[name] for name in CONTENT}, item.body)
    [key] = item.place
    kind = server.types.get(key)
    before = kind and {name: value for name, value in kind.items() if name not in ("version", "created_at")}
    return Change(item, before, TypeBody.model_validate(item.body).spec(key))


async def carry_out(api: Api, change: Change) -> Sequence[str]:
    """Return the server's warnings of a type; those of a template are known from the check of the folder."""
    if change.item.kind == TYPE:
        saved = await api.call("PUT", f"/notification-types/{change.item.place[0]}", change.item.body)
        return list(saved.get("warnings", ()))
    name, channel, language = change.item.place
    place = {"name": name, "channel": channel, "language": language}
    await api.call("POST", "/templates", {**place, **change.item.body, "publish": True})
    return ()


def _difference(name: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        return
    yield f"    {name}:"
    lines = difflib.unified_diff(_text(before), _text(after), n=1, lineterm="")
    yield from (f"    {line[0]} {line[1:]}" for line in list(lines)[2:] if not line.startswith("@@"))


def _text(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, dict | list):
        return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).splitlines()
    return str(value).splitlines()
