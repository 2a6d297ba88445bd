"""Compare the top-level names of a payload's JSON Schema and of its template, when a template is saved."""

from collections.abc import Iterator, Set
from typing import Any

from rendering.messages import Inspection
from rendering.schema_costs import target_steps

Schema = dict[str, Any]

ALWAYS_DEFINED = {"recipient", "unsubscribe_url"}
# Variables of a digest's template; the schema describes one of its items.
DIGEST_NAMES = frozenset({"items", "total"})


def list_declared_names(schema: Schema) -> set[str]:
    """Return the declared names, including those that are only required. The schema has passed `check_schema`."""
    return {
        str(name) for part in _applied_schemas(schema, schema) for name in part.get("properties", ())
    } | list_required_names(schema)


def list_required_names(schema: Schema) -> set[str]:
    """Return the names in every valid payload. Conditional ones (`if`, `anyOf`) do not count."""
    return {str(name) for part in _applied_schemas(schema, schema) for name in part.get("required", ())}


def is_digest_template(schema: Schema, used: Set[str]) -> bool:
    """Return whether a template reads `items` that its payload does not have: they are those of a digest."""
    return "items" in used - list_declared_names(schema)


def find_template_warnings(schema: Schema, template: Inspection, *, digest: bool = False) -> list[str]:
    """Return one warning per name, sorted. A schema without names allows anything and gives no warnings.

    `digest`: a type that collects uses the template.
    """
    problems = find_mismatches(schema, template, digest=digest) | find_unused_names(
        schema, template.variables, digest=digest
    )
    return [problems[name] for name in sorted(problems)]


def find_mismatches(schema: Schema, template: Inspection, *, digest: bool = False) -> dict[str, str]:
    """Map each name that the template uses and the schema lacks, or does not require, to its warning."""
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
    """Map each name that the schema has and no template uses to its warning.

    None for a digest: the template's use of an item's fields is not visible.
    """
    if digest or is_digest_template(schema, used):
        return {}
    problems = dict.fromkeys(list_declared_names(schema) - used, "declared in the schema but not used") | dict.fromkeys(
        list_required_names(schema) - used, "required in the schema but not used"
    )
    return _format_warnings(problems)


def _format_warnings(problems: dict[str, str]) -> dict[str, str]:
    return {name: f"'{name}' is {problem}" for name, problem in problems.items() if name not in ALWAYS_DEFINED}


def _applied_schemas(root: Schema, part: Any) -> Iterator[Schema]:
    """Yield the schema and the schemas that always apply with it: `allOf` and `$ref`, which are never circular."""
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
