"""`/openapi.json`: FastAPI's schema of `/api/v1`, with our problems in place of its validation errors."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from api.callers import PUBLIC
from api.examples import EXAMPLES
from api.front_door import BODY_LIMIT, BodyLimits
from api.problems import ERROR_LIMIT, KINDS, MEDIA_TYPE, TYPE_PREFIX
from api.schemas.dry_runs import EXAMPLE as DRY_RUN
from api.strict_json import VALUE_LIMIT

Json = dict[str, Any]

ORDINARY = BodyLimits(size=BODY_LIMIT, values=VALUE_LIMIT)
# What any request may be answered before its route is reached, by the names of the shared responses.
SHARED = {408: "RequestTimeout", 429: "TooManyRequests", 431: "HeadersTooLarge", 503: "Unavailable"}
INVALID = "The request is not valid, has an unknown query parameter, or repeats one that is not a list"

HEADERS = {429: "Retry-After", 503: "Retry-After"}
# Of operations with two kinds of answers.
OTHER_EXAMPLES = {("send_notification", "200"): DRY_RUN}

BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, `tk_…`. 401 once it is revoked or has expired.",
}
FAULT: Json = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "pointer": {"type": "string", "description": "RFC 6901, into the body", "examples": ["/payload/name"]},
        "parameter": {"type": "string", "description": "name of a query, path or header parameter"},
        "detail": {"type": "string"},
    },
}
PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457 problem details",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": ["urn:tocsin:problem:invalid"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": FAULT,
            "maxItems": ERROR_LIMIT,
            "description": f"At most {ERROR_LIMIT}; `detail` mentions that there are more.",
        },
    },
    "examples": [
        {
            "type": f"{TYPE_PREFIX}invalid",
            "title": KINDS[422][1],
            "status": 422,
            "detail": "is required",
            "errors": [{"pointer": "/payload/name", "detail": "is required"}],
        }
    ],
}


def install(app: FastAPI) -> None:
    def schema() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]


def document(app: FastAPI) -> Json:
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM
    components["securitySchemes"] = {"key": BEARER}
    components["responses"] = {name: response(status) for status, name in SHARED.items()}
    endpoints = dict(_endpoints(app))
    for path, operations in schema.get("paths", {}).items():
        for method, operation in operations.items():
            _complete(operation, path, endpoints[method, path])
            _exemplify(operation)
    return schema


def _endpoints(app: FastAPI) -> Iterator[tuple[tuple[str, str], object]]:
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute):
            yield from (((method.lower(), str(route.path_format)), route.endpoint) for method in route.methods or ())


def _too_large(limits: BodyLimits) -> str:
    return f"The body has more than {limits.size} bytes or {limits.values} JSON values"


def _complete(operation: Json, path: str, endpoint: object) -> None:
    """Add security, and the problems that any such operation can answer."""
    responses = operation["responses"]
    responses.pop("422", None)
    problems: dict[int, Json] = {status: {"$ref": f"#/components/responses/{name}"} for status, name in SHARED.items()}
    scope = str(getattr(endpoint, "scope", PUBLIC))
    if scope != PUBLIC:
        operation["security"] = [{"key": []}]
        operation["x-scope"] = scope
        problems[401] = response(401, header="WWW-Authenticate")
        problems[403] = response(403, f"The API key lacks the scope '{scope}', or its tenant is suspended")
    if "requestBody" in operation:
        problems |= {400: response(400), 413: response(413, _too_large(getattr(endpoint, "limits", ORDINARY)))}
    if not hasattr(endpoint, "any_query"):
        problems[422] = response(422, INVALID)
    if "{" in path:
        problems[404] = response(404)
    for status, problem in problems.items():
        responses.setdefault(str(status), problem)
    operation["responses"] = dict(sorted(responses.items()))


def _exemplify(operation: Json) -> None:
    """At every answer with a body, in the place from which tools show it."""
    for status, answer in operation["responses"].items():
        if status.startswith("2") and "content" in answer and operation["operationId"] in EXAMPLES:
            example = OTHER_EXAMPLES.get((operation["operationId"], status), EXAMPLES[operation["operationId"]])
            answer["content"]["application/json"]["example"] = example


def response(status: int, description: str = "", *, header: str | None = None) -> Json:
    header = header or HEADERS.get(status)
    return {
        "description": description or KINDS[status][1],
        "headers": {header: {"schema": {"type": "string"}}} if header else {},
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def answers(*statuses: int) -> dict[int | str, Json]:
    """For the `responses` of a route that also answers these problems, such as 409."""
    return {status: response(status) for status in statuses}
