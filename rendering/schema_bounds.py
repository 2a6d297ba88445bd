"""Which JSON Schemas we take: checking runs in the API's and the worker's own process, so its cost must be bounded."""

import json
from dataclasses import dataclass
from typing import Any

TEXT_LIMIT = 64 << 10
DEPTH_LIMIT = 32
# `allOf: [{$ref: b}, {$ref: b}]` twenty times over is a million checks of one value.
COST_LIMIT = 5_000
UNSUPPORTED = {"$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$anchor"}


@dataclass(frozen=True, kw_only=True)
class SchemaProblem:
    """`pointer` is RFC 6901; `detail` quotes the schema, never the payload."""

    pointer: str
    detail: str


class Unbounded(Exception):
    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = SchemaProblem(pointer=pointer, detail=detail)


def pointer(path: list[str] | list[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def canonical(schema: dict[str, Any]) -> str:
    """The same text for the same schema; Unbounded if it is no JSON, too large or too expensive to check."""
    try:
        text = json.dumps(schema, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise Unbounded("", "is not plain JSON or is nested too deeply") from None
    if len(text) > TEXT_LIMIT:
        raise Unbounded("", f"is longer than {TEXT_LIMIT} characters")
    return text


def check_cost(schema: dict[str, Any]) -> None:
    _Costs(schema).of(schema, [])


class _Costs:
    """Counts what a checker may visit, with each `$ref` replaced by its target."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[int, int] = {}
        self._unfolding: set[int] = set()

    def of(self, node: Any, path: list[str]) -> int:
        if not isinstance(node, (dict, list)):
            return 0
        if id(node) in self._known:
            return self._known[id(node)]
        if id(node) in self._unfolding:
            raise Unbounded(pointer(path), "must not refer to itself")
        if len(path) > DEPTH_LIMIT:
            raise Unbounded(pointer(path[:3]), f"is nested deeper than {DEPTH_LIMIT} levels")
        self._unfolding.add(id(node))
        total = 1 + self._of_target(node, path) + self._of_children(node, path)
        self._unfolding.discard(id(node))
        if total > COST_LIMIT:
            raise Unbounded(pointer(path), f"has more than {COST_LIMIT} parts once every $ref is followed")
        self._known[id(node)] = total
        return total

    def _of_children(self, node: dict[str, Any] | list[Any], path: list[str]) -> int:
        children = node.items() if isinstance(node, dict) else enumerate(node)
        return sum(self.of(child, [*path, str(step)]) for step, child in children)

    def _of_target(self, node: dict[str, Any] | list[Any], path: list[str]) -> int:
        """Keywords have texts as values; an object is a property that happens to be called `$ref`."""
        if not isinstance(node, dict):
            return 0
        for keyword in UNSUPPORTED | ({"$id"} if path else set()):
            if isinstance(node.get(keyword), str):
                raise Unbounded(pointer([*path, keyword]), "is not supported here")
        target = node.get("$ref")
        return self.of(self._find(target, [*path, "$ref"]), [*path, "$ref"]) if isinstance(target, str) else 0

    def _find(self, target: str, path: list[str]) -> Any:
        if target != "#" and not target.startswith("#/"):
            raise Unbounded(pointer(path), "must point into this schema: nothing is fetched")
        found: Any = self._root
        for step in target.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                raise Unbounded(pointer(path), "points to nothing in this schema")
            found = found[key]
        return found
