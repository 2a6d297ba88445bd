"""Define the JSON types that modules share, and JSON Merge Patch (RFC 7396), which `PATCH` applies."""

from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
# A value of any kind, where a type checker can follow it.
JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"


def apply_merge_patch(target: Json, patch: Json) -> Json:
    """Return `target` with the patch applied: objects merge, null removes the name, any other value replaces."""
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            existing = result.get(name)
            result[name] = apply_merge_patch(existing if isinstance(existing, dict) else {}, value)
        else:
            result[name] = value
    return result
