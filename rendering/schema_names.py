"""The top-level names of a payload as its JSON Schema and its template know them; compared when a template is saved."""

from collections.abc import Iterator
from typing import Any

from rendering.messages import Inspection

Schema = dict[str, Any]

ALWAYS_THERE = {"recipient"}


def declared(schema: Schema) -> set[str]:
    """Also what is only required. The schema has passed `check_schema`."""
    return {str(name) for part in _parts(schema, schema) for name in part.get("properties", ())} | required(schema)


def required(schema: Schema) -> set[str]:
    """In every valid payload. What depends on other values (`if`, `anyOf`) is not."""
    return {str(name) for part in _parts(schema, schema) for name in part.get("required", ())}


def template_warnings(schema: Schema, template: Inspection) -> list[str]:
    """One per name that does not fit, by name. A schema that names nothing allows anything: no warnings."""
    known, there = declared(schema), required(schema)
    if not known:
        return []
    used, failing = template.variables, template.needed - there
    told = (
        dict.fromkeys(known - used, "declared in the schema but not used")
        | dict.fromkeys(there - used, "required in the schema but not used")
        | dict.fromkeys(used - known, "used but not declared in the schema")
        | dict.fromkeys(failing, "used but not required in the schema: a payload without it can fail")
        | dict.fromkeys(failing - known, "used but not declared in the schema: a payload without it can fail")
    )
    return [f"'{name}' is {told[name]}" for name in sorted(told.keys() - ALWAYS_THERE)]


def _parts(root: Schema, part: Any) -> Iterator[Schema]:
    """The schema, and what it always applies beside itself: `allOf` and `$ref`, which never go round in circles."""
    if not isinstance(part, dict):
        return
    yield part
    for each in part.get("allOf", ()):
        yield from _parts(root, each)
    if "$ref" in part:
        yield from _parts(root, _target(root, part["$ref"]))


def _target(root: Schema, reference: str) -> Any:
    found: Any = root
    for step in reference.split("/")[1:]:
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found
