"""What is wrong with a folder, found before anything is sent: the API's own rules, and names that lead nowhere."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from pydantic import ValidationError

from api.problems import Problem, at, invalid, pointer_of
from api.schemas.notification_types import TypeBody
from api.schemas.templates import TemplateBody
from api.template_checks import inspected, unused_parts
from api.violations import faults_of
from commands.errors import CommandError
from commands.folder import TEMPLATE, TYPE, Item
from commands.sources import located, nearest
from rendering.renderer import Renderer
from rendering.schema_names import unfit, unused

REQUIRED = "is required, since the route has the channel"
# Of every tenant: it is made with it.
DEFAULT_LANGUAGE = "en"
Place = tuple[str, ...]


@dataclass
class Findings:
    """`used` are the variables of a template's texts so far, by its name; `collected` the templates of types with a
    digest."""

    collected: set[str]
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    used: dict[str, set[str]] = field(default_factory=dict)


async def check(items: Sequence[Item], known: AbstractSet[Place]) -> list[str]:
    """Warnings; `known` are the server's templates by name, channel and language. Raises CommandError with a line
    `file:line: reason` for each fault."""
    found = Findings(collected={name for item in items if _collects(item) for name in _templates(item).values()})
    async with Renderer(1) as renderer:
        for item in items:
            await _examine(item, renderer, found)
    places = known | {item.place for item in items if item.kind == TEMPLATE}
    for item in items:
        if item.kind == TYPE:
            found.problems += _dangling(item, {name for name, *_ in places})
            found.warnings += _untold(item, places)
    if found.problems:
        # The fault of a schema is found with each text that it is for.
        raise CommandError(*dict.fromkeys(found.problems))
    return [*found.warnings, *_idle(items, found)]


async def _examine(item: Item, renderer: Renderer, found: Findings) -> None:
    try:
        if item.kind == TYPE:
            _examine_type(item)
        else:
            await _examine_text(item, renderer, found)
    except ValidationError as error:
        faults = faults_of([{**one, "loc": ("body", *one["loc"])} for one in error.errors()], item.body)
        found.problems += [located(item.sources, fault.get("pointer", ""), fault["detail"]) for fault in faults]
    except Problem as problem:
        found.problems += [located(item.sources, fault.get("pointer", ""), fault["detail"]) for fault in problem.errors]


def _examine_type(item: Item) -> None:
    kind = TypeBody.model_validate({"key": item.place[0], **item.body})
    if kind.without_template:
        raise invalid(*(at(f"/templates/{channel}", REQUIRED) for channel in kind.without_template))


async def _examine_text(item: Item, renderer: Renderer, found: Findings) -> None:
    name, channel, language = item.place
    body = TemplateBody.model_validate({"name": name, "channel": channel, "language": language, **item.body})
    inspection = await inspected(renderer, body, tenant=None)
    found.used.setdefault(name, set()).update(inspection.variables)
    warnings = [*unfit(body.variables_schema, inspection, digest=name in found.collected).values(), *unused_parts(body)]
    found.warnings += [located(item.sources, "", each) for each in sorted(warnings)]


def _collects(item: Item) -> bool:
    return item.kind == TYPE and bool(item.body.get("digest"))


def _idle(items: Sequence[Item], found: Findings) -> Iterator[str]:
    """What no text of a template uses, once and at its line of the schema."""
    schemas = {item.place[0]: item for item in items if item.kind == TEMPLATE}
    for name, item in schemas.items():
        schema, used, collected = item.body["variables_schema"], found.used.get(name, set()), name in found.collected
        for variable, warning in sorted(unused(schema, used, digest=collected).items()):
            where = nearest(item.sources, pointer_of("variables_schema", "properties", variable))
            yield f"{where}: {warning}"


def _templates(item: Item) -> dict[str, str]:
    """Also of a type that has faults."""
    templates = item.body.get("templates")
    given = templates.items() if isinstance(templates, dict) else ()
    return {channel: name for channel, name in given if isinstance(name, str)}


def _dangling(item: Item, names: set[str]) -> Iterator[str]:
    for channel, name in _templates(item).items():
        if name not in names:
            yield located(item.sources, f"/templates/{channel}", f"no template '{name}' is here or on the server")


def _untold(item: Item, places: AbstractSet[Place]) -> Iterator[str]:
    """Whoever has no language, or one that there is no text in, gets the default one."""
    texts = {(name, channel) for name, channel, _ in places}
    for channel, name in _templates(item).items():
        if (name, channel) in texts and (name, channel, DEFAULT_LANGUAGE) not in places:
            why = f"has no text for {channel} in '{DEFAULT_LANGUAGE}', which is for all who have no other language"
            yield located(item.sources, f"/templates/{channel}", f"'{name}' {why}")
