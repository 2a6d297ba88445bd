"""The JSON types that modules share."""

from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
# A value of any kind, where a type checker can follow it.
JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"
# The name of `Json` in `models/` and `storage/`.
JsonObject: TypeAlias = Json
