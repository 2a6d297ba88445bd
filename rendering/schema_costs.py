"""Count how often a validator evaluates a schema, with each `$ref` followed. Pure.

The count and the validator must agree on the place of each sub-schema, so only plain pointers from the root are
followed: a percent-encoded pointer, an anchor or a changed base URI reaches a sub-schema that this count does not see.
Schemas that cannot be followed are refused.
"""

import re
from collections.abc import Iterator
from typing import Any

from rendering.messages import SchemaProblem

DRAFT = "https://json-schema.org/draft/2020-12/schema"
DEPTH_LIMIT = 32
# `allOf: [{$ref: b}, {$ref: b}]` nested twenty times is a million checks of one value.
COST_LIMIT = 5_000
# A plain keyword takes 5 to 50 ns, `idn-hostname` 0.6 µs, and `multipleOf` up to 24 µs for numbers like 1.7e308. A
# pattern takes 0.15 µs for a short string, and keeps up to 1 MiB of automaton.
KEYWORD_COSTS = {"format": 5, "multipleOf": 50, "pattern": 50}
PATTERN_COST = KEYWORD_COSTS["pattern"]
# `unevaluatedProperties` evaluates its neighbors again to find what they cover: nested n times, 2.6**n (measured).
UNEVALUATED_FACTOR = 3

VALUE_KEYWORDS = {
    *("additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames", "then"),
    *("unevaluatedItems", "unevaluatedProperties"),
}
LIST_KEYWORDS = {"allOf", "anyOf", "oneOf", "prefixItems"}
DEFINITION_KEYWORDS = {"$defs", "definitions"}
MAP_KEYWORDS = {"dependencies", "dependentSchemas", "patternProperties", "properties"}
DATA_KEYWORDS = {"const", "dependentRequired", "enum", "required"}
UNSUPPORTED_KEYWORDS = {"$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef", "$vocabulary"}
ROOT_ONLY_KEYWORDS = {"$id", "$schema"}
ANNOTATION_KEYWORDS = {
    *("$comment", "$defs", "definitions", "$id", "$schema", "contentEncoding", "contentMediaType", "contentSchema"),
    *("default", "deprecated", "description", "examples", "readOnly", "title", "writeOnly"),
}

# URI parsers decode `%24` and drop tabs: a pointer that they could read differently is not plain.
PLAIN_POINTER = re.compile(r"#(?:/(?:[A-Za-z0-9_.$-]|~[01])*)*")


class UnsupportedSchema(Exception):
    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = SchemaProblem(pointer=pointer, detail=detail)


Path = tuple[str | int, ...]


def pointer(path: Path | list[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def cost_of(schema: dict[str, Any]) -> int:
    """Return the evaluations of one value at most; 0 for a schema that accepts everything. Raises Unbounded."""
    if schema.get("$schema", DRAFT) != DRAFT:
        raise UnsupportedSchema("/$schema", f"must be {DRAFT} or absent")
    cost = _CostCounter(schema).count(schema, ())
    return cost if set(schema) - ANNOTATION_KEYWORDS else 0


class _CostCounter:
    """Count one schema. `_counted` holds the cost and the height of each sub-schema."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._counted: dict[int, tuple[int, int]] = {}
        self._in_progress: set[int] = set()
        self._deepest = 0

    def count(self, schema: Any, path: Path) -> int:
        """Return the cost of a sub-schema. The validator refuses anything that is neither an object nor a boolean."""
        if not isinstance(schema, dict):
            return 1
        if id(schema) in self._in_progress:
            raise UnsupportedSchema(pointer(path), "must not refer to itself")
        total, height = self._counted.get(id(schema), (0, 0))
        if len(path) + height > DEPTH_LIMIT:
            raise UnsupportedSchema(pointer(path[:3]), f"is nested deeper than {DEPTH_LIMIT} levels")
        if total == 0:
            total, height = self._measure(schema, path)
            self._counted[id(schema)] = total, height
        self._deepest = max(self._deepest, len(path) + height)
        return total

    def _measure(self, schema: dict[str, Any], path: Path) -> tuple[int, int]:
        above, self._deepest = self._deepest, len(path)
        self._in_progress.add(id(schema))
        total = 1 + sum(self._count_keyword(word, value, (*path, word)) for word, value in schema.items())
        for word in ("unevaluatedItems", "unevaluatedProperties"):
            total *= UNEVALUATED_FACTOR if word in schema else 1
        self._in_progress.discard(id(schema))
        height, self._deepest = self._deepest - len(path), above
        return _check_cost(total, path), height

    def _count_keyword(self, word: str, value: Any, path: Path) -> int:
        if word in UNSUPPORTED_KEYWORDS or (word in ROOT_ONLY_KEYWORDS and len(path) > 1):
            raise UnsupportedSchema(pointer(path), "is not supported here")
        if word == "$ref":
            return 1 + self.count(self._resolve(value, path), path)
        if word in DATA_KEYWORDS:
            return _check_cost(_count_values(value), path)
        if word in KEYWORD_COSTS:
            return KEYWORD_COSTS[word]
        total = 1 + sum(self.count(child, (*path, *step)) for step, child in _children(word, value))
        if word == "patternProperties" and isinstance(value, dict):
            total += PATTERN_COST * len(value)
        # A definition is evaluated where a `$ref` follows it; here it is only inspected.
        return 0 if word in DEFINITION_KEYWORDS else _check_cost(total, path)

    def _resolve(self, reference: Any, path: Path) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise UnsupportedSchema(pointer(path), "must point into this schema: nothing is fetched")
        if not PLAIN_POINTER.fullmatch(reference):
            raise UnsupportedSchema(
                pointer(path), "must be a plain pointer: #/ and names of letters, digits and . _ - $ ~0 ~1"
            )
        found: Any = self._root
        steps = iter(target_steps(reference))
        for keyword in steps:
            if keyword not in VALUE_KEYWORDS | MAP_KEYWORDS | DEFINITION_KEYWORDS:
                raise UnsupportedSchema(pointer(path), "must point to a schema, and not through a list")
            found = _get_member(found, keyword, path)
            if keyword not in VALUE_KEYWORDS:
                found = _get_member(found, next(steps, None), path)
        if not isinstance(found, dict | bool):
            raise UnsupportedSchema(pointer(path), "must point to a schema")
        return found


def target_steps(reference: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in reference.split("/")[1:]]


def _get_member(parent: Any, name: str | None, path: Path) -> Any:
    if not isinstance(parent, dict) or name not in parent:
        raise UnsupportedSchema(pointer(path), "points to nothing in this schema")
    return parent[name]


def _children(word: str, value: Any) -> Iterator[tuple[Path, Any]]:
    if word in VALUE_KEYWORDS:
        yield (), value
    elif word in LIST_KEYWORDS and isinstance(value, list):
        yield from (((index,), child) for index, child in enumerate(value))
    elif word in MAP_KEYWORDS | DEFINITION_KEYWORDS and isinstance(value, dict):
        for name, child in value.items():
            # `dependencies` may have a list of names.
            yield (name,), child


def _count_values(value: Any) -> int:
    """Count the JSON values that a payload is compared with."""
    total, containers = 1, [value]
    for each in containers:
        children = list(each.values()) if isinstance(each, dict) else each if isinstance(each, list) else []
        total += len(children)
        containers += [child for child in children if isinstance(child, dict | list)]
    return total


def _check_cost(total: int, path: Path) -> int:
    if total > COST_LIMIT:
        raise UnsupportedSchema(pointer(path), f"needs more than {COST_LIMIT} evaluations of one value")
    return total
