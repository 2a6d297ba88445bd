"""Check a folder before anything is sent: the rules of the API, and references to templates."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from pydantic import ValidationError

from api.pydantic_errors import issues_of
from api.schemas.notification_types import TypeBody
from api.schemas.templates import TemplateBody
from commands.errors import CommandError
from commands.file_positions import locate_message, nearest_source
from commands.folder import TEMPLATE_ITEM, TYPE_ITEM, FolderItem
from domain.validation_issues import InvalidInput, issue_at, pointer_of
from rendering.renderer import Renderer
from rendering.schema_names import find_mismatches, find_unused_names
from services.template_checks import find_unused_fields, inspect_template

MISSING_TEMPLATE = "is required, because the route has this channel"
# The default language of a new tenant.
DEFAULT_LANGUAGE = "en"
ResourceKey = tuple[str, ...]


@dataclass
class Findings:
    """Results so far. `used` maps the name of a template to the variables of its texts. `digest_templates` are the
    templates of types with a digest."""

    digest_templates: set[str]
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    used: dict[str, set[str]] = field(default_factory=dict)


async def check_items(items: Sequence[FolderItem], known: AbstractSet[ResourceKey]) -> list[str]:
    """Return warnings. `known` are the templates of the server by name, channel and language. Raise CommandError with a
    line `file:line: reason` for each issue."""
    findings = Findings(
        digest_templates={name for item in items if _has_digest(item) for name in _templates_of(item).values()}
    )
    async with Renderer(1) as renderer:
        for item in items:
            await _check_item(item, renderer, findings)
    resource_keys = known | {item.resource_key for item in items if item.resource_type == TEMPLATE_ITEM}
    for item in items:
        if item.resource_type == TYPE_ITEM:
            findings.problems += _missing_templates(item, {name for name, *_ in resource_keys})
            findings.warnings += _missing_default_texts(item, resource_keys)
    if findings.problems:
        # An issue of a schema is found once for each text, so duplicates are removed.
        raise CommandError(*dict.fromkeys(findings.problems))
    return [*findings.warnings, *_unused_variables(items, findings)]


async def _check_item(item: FolderItem, renderer: Renderer, findings: Findings) -> None:
    try:
        if item.resource_type == TYPE_ITEM:
            _check_type(item)
        else:
            await _check_text(item, renderer, findings)
    except ValidationError as error:
        issues = issues_of([{**one, "loc": ("body", *one["loc"])} for one in error.errors()], item.body)
        findings.problems += [
            locate_message(item.sources, issue.get("pointer", ""), issue["detail"]) for issue in issues
        ]
    except InvalidInput as error:
        findings.problems += [
            locate_message(item.sources, issue.get("pointer", ""), issue["detail"]) for issue in error.issues
        ]


def _check_type(item: FolderItem) -> None:
    notification_type = TypeBody.model_validate({"key": item.resource_key[0], **item.body})
    if notification_type.channels_without_template:
        raise InvalidInput(
            *(
                issue_at(f"/templates/{channel}", MISSING_TEMPLATE)
                for channel in notification_type.channels_without_template
            )
        )


async def _check_text(item: FolderItem, renderer: Renderer, findings: Findings) -> None:
    name, channel, language = item.resource_key
    body = TemplateBody.model_validate({"name": name, "channel": channel, "language": language, **item.body})
    inspection = await inspect_template(renderer, body.source, body.variables_schema, tenant=None)
    findings.used.setdefault(name, set()).update(inspection.variables)
    warnings = [
        *find_mismatches(body.variables_schema, inspection, digest=name in findings.digest_templates).values(),
        *find_unused_fields(body.source),
    ]
    findings.warnings += [locate_message(item.sources, "", each) for each in sorted(warnings)]


def _has_digest(item: FolderItem) -> bool:
    return item.resource_type == TYPE_ITEM and bool(item.body.get("digest"))


def _unused_variables(items: Sequence[FolderItem], findings: Findings) -> Iterator[str]:
    """Yield a warning for each variable that no text of a template uses, once and at its line of the schema."""
    schemas = {item.resource_key[0]: item for item in items if item.resource_type == TEMPLATE_ITEM}
    for name, item in schemas.items():
        schema, used, digest_templates = (
            item.body["variables_schema"],
            findings.used.get(name, set()),
            name in findings.digest_templates,
        )
        for variable, warning in sorted(find_unused_names(schema, used, digest=digest_templates).items()):
            where = nearest_source(item.sources, pointer_of("variables_schema", "properties", variable))
            yield f"{where}: {warning}"


def _templates_of(item: FolderItem) -> dict[str, str]:
    """Return the templates by channel, also of a type with issues."""
    templates = item.body.get("templates")
    pairs = templates.items() if isinstance(templates, dict) else ()
    return {channel: name for channel, name in pairs if isinstance(name, str)}


def _missing_templates(item: FolderItem, names: set[str]) -> Iterator[str]:
    for channel, name in _templates_of(item).items():
        if name not in names:
            yield locate_message(
                item.sources, f"/templates/{channel}", f"there is no template '{name}' in this folder or on the server"
            )


def _missing_default_texts(item: FolderItem, resource_keys: AbstractSet[ResourceKey]) -> Iterator[str]:
    """Yield a warning for each template without a text in the default language, which recipients without a matching
    language get."""
    texts = {(name, channel) for name, channel, _ in resource_keys}
    for channel, name in _templates_of(item).items():
        if (name, channel) in texts and (name, channel, DEFAULT_LANGUAGE) not in resource_keys:
            why = f"has no text for {channel} in the default language '{DEFAULT_LANGUAGE}'"
            yield locate_message(item.sources, f"/templates/{channel}", f"'{name}' {why}")
