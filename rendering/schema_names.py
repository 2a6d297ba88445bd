"""The top-level names of a payload as its JSON Schema and its template know them; compared when a template is saved."""

from collections.abc import Iterator, Set
from typing import Any

from rendering.messages import Inspection
from rendering.schema_costs import target_steps

Schema = dict[str, Any]

ALWAYS_DEFINED = {"recipient"}
# What the template of a digest gets; the schema describes one of its items.
DIGEST_NAMES = frozenset({"items", "total"})


def list_declared_names(schema: Schema) -> set[str]:
    """Also what is only required. The schema has passed `check_schema`."""
    return {
        str(name) for part in _applied_schemas(schema, schema) for name in part.get("properties", ())
    } | list_required_names(schema)


def list_required_names(schema: Schema) -> set[str]:
    """In every valid payload. What depends on other values (`if`, `anyOf`) is not."""
    return {str(name) for part in _applied_schemas(schema, schema) for name in part.get("required", ())}


def is_digest_template(schema: Schema, used: Set[str]) -> bool:
    """Return whether a template reads `items` that its payload does not have: they are those of a digest."""
    return "items" in used - list_declared_names(schema)


def find_template_warnings(schema: Schema, template: Inspection, *, digest: bool = False) -> list[str]:
    """One per name that does not fit, by name. A schema that names nothing allows anything: no warnings. `digest`: a
    type that collects uses the template."""
    problems = find_mismatches(schema, template, digest=digest) | find_unused_names(
        schema, template.variables, digest=digest
    )
    return [problems[name] for name in sorted(problems)]


def find_mismatches(schema: Schema, template: Inspection, *, digest: bool = False) -> dict[str, str]:
    """Name → warning, for what the template uses and the schema does not have, or not always."""
    given = DIGEST_NAMES if digest or is_digest_template(schema, template.variables) else frozenset[str]()
    known, used, failing = (
        list_declared_names(schema),
        template.variables - given,
        template.needed - given - list_required_names(schema),
    )
    problems = (
        dict.fromkeys(used - known, "used but not declared in the schema")
        | dict.fromkeys(failing, "used but not required in the schema: a payload without it can fail")
        | dict.fromkeys(failing - known, "used but not declared in the schema: a payload without it can fail")
    )
    return _format_warnings(problems) if known else {}


def find_unused_names(schema: Schema, used: Set[str], *, digest: bool = False) -> dict[str, str]:
    """Name → warning, for what the schema has and no template uses of those that it is for. None of a digest's: which
    fields of an item it uses is not seen."""
    if digest or is_digest_template(schema, used):
        return {}
    problems = dict.fromkeys(list_declared_names(schema) - used, "declared in the schema but not used") | dict.fromkeys(
        list_required_names(schema) - used, "required in the schema but not used"
    )
    return _format_warnings(problems)


def _format_warnings(problems: dict[str, str]) -> dict[str, str]:
    return {name: f"'{name}' is {problem}" for name, problem in problems.items() if name not in ALWAYS_DEFINED}


def _applied_schemas(root: Schema, part: Any) -> Iterator[Schema]:
    """The schema, and what it always applies beside itself: `allOf` and `$ref`, which never go round in circles."""
    if not isinstance(part, dict):
        return
    yield part
    for each in part.get("allOf", ()):
        yield from _applied_schemas(root, each)
    if "$ref" in part:
        yield from _applied_schemas(root, _resolve(root, part["$ref"]))


def _resolve(root: Schema, reference: str) -> Any:
    found: Any = root
    for step in target_steps(reference):
        found = found[step]
    return found
