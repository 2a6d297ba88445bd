"""Limit schemas and payloads before they are sent to a child."""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from domain.json_types import JsonValue
from rendering.messages import SchemaProblem
from rendering.schema_costs import UnsupportedSchema, cost_of

TEXT_LIMIT = 64 << 10
CHARACTERS_PER_VALUE = 64
# Work is the cost of a schema times the size of a payload. Measured in a child, a unit takes 3 ns for `type`, 30 ns for
# `uniqueItems` and `unevaluatedItems`, 50 ns for `oneOf` and `anyOf`, 90 ns for formats and 110 ns for patterns with
# look-around, so a payload at its limit takes up to 0.25 s of the 1 s of a call. Only look-around in long strings and
# `multipleOf` of extreme numbers take longer, up to 500 ns: the deadline stops them.
PAYLOAD_WORK_LIMIT = 2_000_000
# Over all payloads of a request: 1,000 items of 100 values against a schema of 250 keywords.
REQUEST_WORK_LIMIT = 25_000_000


@dataclass(frozen=True, kw_only=True)
class BoundedSchema:
    """Hold a schema within the limits, as the text that identifies it in the children."""

    text: str
    cost: int

    @property
    def accepts_everything(self) -> bool:
        return self.cost == 0


def bound_schema(schema: dict[str, Any]) -> BoundedSchema | SchemaProblem:
    """Check the limits. Equal schemas have equal texts, without `$id` and `$schema`: a base URI only changes the target
    of a `$ref`.
    """
    try:
        text = json.dumps(schema, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return SchemaProblem(pointer="", detail="is not plain JSON or is nested too deeply")
    if len(text) > TEXT_LIMIT:
        return SchemaProblem(pointer="", detail=f"is longer than {TEXT_LIMIT} characters")
    return _bound_text(text)


@lru_cache(maxsize=128)
def _bound_text(text: str) -> BoundedSchema | SchemaProblem:
    """Cache by text, since accepted sends repeat it: 5 ms for the largest schema."""
    schema = json.loads(text)
    try:
        cost = cost_of(schema)
    except UnsupportedSchema as error:
        return error.problem
    kept = {word: value for word, value in schema.items() if word not in ("$id", "$schema")}
    return BoundedSchema(text=json.dumps(kept, sort_keys=True), cost=cost)


def payload_size(payload: JsonValue) -> int:
    """Count JSON values, plus one for each 64 characters of their texts and names."""
    values, characters, containers = 1, 0, [payload]
    for container in containers:
        if isinstance(container, dict):
            characters += sum(map(len, container))
            children = list(container.values())
        elif isinstance(container, list):
            children = container
        else:
            children = [container]
            values -= 1
        values += len(children)
        characters += sum(len(child) for child in children if isinstance(child, str))
        containers += [child for child in children if isinstance(child, dict | list)]
    return values + characters // CHARACTERS_PER_VALUE
