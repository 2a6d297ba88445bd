"""List the operations of an OpenAPI document, the fields of their requests that may hold an id, and those that the
table does not declare."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from domain.json_types import Json
from tests.isolation.resource_types import ResourceType
from tests.isolation.routes import PLAIN, ROUTES, RouteExample

Pointer = tuple[str | int, ...]
Names = tuple[str, ...]

TABLE = "tests/isolation/routes.py"
PLACES = {"path": "path", "query": "query", "header": "headers"}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of a path. `scope` is None for a route without a key."""

    id: str
    method: str
    path: str
    scope: str | None
    required: frozenset[str]
    fields: tuple[Names, ...]
    pages: bool

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    def __str__(self) -> str:
        return f"{self.method} {self.path} ({self.id})"


def operations(document: Json) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parameters = operation.get("parameters", [])
            yield Operation(
                id=operation["operationId"],
                method=method.upper(),
                path=path.removeprefix("/api/v1"),
                scope=operation.get("x-scope"),
                required=frozenset(each["name"] for each in parameters if each["required"]),
                fields=tuple(dict.fromkeys(_fields(document, operation))),
                pages=any(each["name"] == "cursor" for each in parameters),
            )


def undeclared(document: Json, routes: Mapping[str, RouteExample] = ROUTES) -> list[str]:
    """Yield one sentence for everything in the document that the table does not declare."""
    known = {operation.id: operation for operation in operations(document)}
    missing = [
        f'{operation} has no entry in ROUTES of {TABLE}: add "{id}": Route(...), a valid request with a Kind in the'
        f" place of each id or name of a tenant, and to makers.py a maker for a Kind that is new."
        for id, operation in known.items()
        if id not in routes
    ]
    gone = [f'{TABLE}: remove the entry "{id}", which the document does not have.' for id in routes.keys() - known]
    fields = [
        f"{operation}: {TABLE} does not say what {'.'.join(each)} belongs to: put a Kind there in the entry"
        f' "{id}", or its name into PLAIN if it never holds an id.'
        for id, operation in known.items()
        if id in routes
        for each in operation.fields
        if not _is_declared(each, routes[id])
    ]
    return [*missing, *gone, *fields]


def slots(template: Any, pointer: Pointer = ()) -> Iterator[tuple[Pointer, ResourceType]]:
    """Yield the positions of a ResourceType in a request of the table."""
    if isinstance(template, ResourceType):
        yield pointer, template
    children = dict(enumerate(template)) if isinstance(template, list) else template
    for name, child in children.items() if isinstance(children, Mapping) else ():
        yield from slots(child, (*pointer, name))


def templates(route: RouteExample) -> Iterator[Json]:
    for body in route.bodies:
        yield {"path": route.path, "query": route.query, "headers": route.headers, "body": body}


def _is_declared(field: Names, route: RouteExample) -> bool:
    if field[0] == "path":
        return field[1] in route.path
    if field[-1] in PLAIN | route.plain:
        return True
    found = [pointer for each in templates(route) for pointer, _ in slots(each)]
    named = [tuple(step for step in pointer if isinstance(step, str)) for pointer in found]
    return any(pointer[: len(field)] == field for pointer in named)


def _fields(document: Json, operation: Json) -> Iterator[Names]:
    for parameter in operation.get("parameters", []):
        yield from _texts(document, parameter["schema"], (PLACES[parameter["in"]], parameter["name"]))
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield from _texts(document, media["schema"], ("body",))


def _texts(document: Json, schema: Json, pointer: Names, above: frozenset[str] = frozenset()) -> Iterator[Names]:
    """Yield the fields whose values are free text. Members of a map have the name of the map."""
    reference = schema.get("$ref")
    if reference is not None and reference not in above:
        target = document["components"]["schemas"][reference.rpartition("/")[2]]
        yield from _texts(document, target, pointer, above | {reference})
    if schema.get("type") == "string" and not schema.keys() & {"enum", "const"} and schema.get("format") != "date-time":
        yield pointer
    more = schema.get("additionalProperties")
    for child in (*schema.get("anyOf", ()), *schema.get("allOf", ()), schema.get("items"), more):
        if isinstance(child, dict):
            yield from _texts(document, child, pointer, above)
    for name, child in schema.get("properties", {}).items():
        yield from _texts(document, child, (*pointer, name), above)
