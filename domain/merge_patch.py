"""Apply JSON Merge Patch (RFC 7396): what `PATCH` means for a profile's attributes and for preferences."""

from domain.json_types import Json


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
