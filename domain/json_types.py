"""The JSON types that modules share."""

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
