"""What is wrong with a folder, found before anything is sent: the API's own rules, and names that lead nowhere."""

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from api.problems import Problem, at, invalid
from api.schemas.notification_types import TypeBody
from api.schemas.templates import TemplateBody
from api.template_checks import warnings_for
from api.violations import faults_of
from commands.errors import CommandError
from commands.folder import TEMPLATE, TYPE, Item
from commands.sources import located
from rendering.renderer import Renderer

REQUIRED = "is required, since the route has the channel"


async def check(items: Sequence[Item], known_templates: set[str]) -> list[str]:
    """Warnings. Raises CommandError with a line `file:line: reason` for each fault."""
    warnings: list[str] = []
    problems: list[str] = []
    names = known_templates | {item.place[0] for item in items if item.kind == TEMPLATE}
    async with Renderer(1) as renderer:
        for item in items:
            try:
                warnings += [located(item.sources, "", each) for each in await _warnings(item, renderer)]
            except ValidationError as error:
                faults = faults_of([{**one, "loc": ("body", *one["loc"])} for one in error.errors()], item.body)
                problems += [located(item.sources, fault.get("pointer", ""), fault["detail"]) for fault in faults]
            except Problem as problem:
                problems += [located(item.sources, f.get("pointer", ""), f["detail"]) for f in problem.errors]
    problems += [line for item in items if item.kind == TYPE for line in _dangling(item, names)]
    if problems:
        raise CommandError(*problems)
    return warnings


async def _warnings(item: Item, renderer: Renderer) -> list[str]:
    if item.kind == TYPE:
        kind = TypeBody.model_validate({"key": item.place[0], **item.body})
        if kind.without_template:
            raise invalid(*(at(f"/templates/{channel}", REQUIRED) for channel in kind.without_template))
        return []
    name, channel, language = item.place
    return await warnings_for(
        renderer, TemplateBody.model_validate({"name": name, "channel": channel, "language": language, **item.body})
    )


def _dangling(item: Item, names: set[str]) -> Iterator[str]:
    templates = item.body.get("templates")
    for channel, name in templates.items() if isinstance(templates, dict) else ():
        if name not in names:
            yield located(item.sources, f"/templates/{channel}", f"no template '{name}' is here or on the server")
