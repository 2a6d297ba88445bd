"""Build `/openapi.json`: FastAPI's schema of `/api/v1`, with problems in place of its validation errors."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from api.authenticated_route import BODY_LIMIT, BodyLimits
from api.authentication import PUBLIC_SCOPE
from api.examples import EXAMPLES
from api.problems import MEDIA_TYPE, PROBLEM_TYPES, TYPE_PREFIX
from api.schemas.dry_runs import EXAMPLE as DRY_RUN_EXAMPLE
from api.strict_json import VALUE_LIMIT
from domain.json_types import Json
from domain.validation_issues import ERROR_LIMIT

DESCRIPTIONS = Path(__file__).with_name("descriptions.yaml")
PAGE_DESCRIPTION = "One page of a list."
DEFAULT_BODY_LIMITS = BodyLimits(size=BODY_LIMIT, values=VALUE_LIMIT)
# Responses of any request before its route is reached, by the name of the shared response.
SHARED_RESPONSES = {408: "RequestTimeout", 429: "TooManyRequests", 431: "HeadersTooLarge", 503: "Unavailable"}
INVALID_DESCRIPTION = "The request is not valid, has an unknown query parameter, or repeats one that is not a list"

RETRY_HEADERS = {429: "Retry-After", 503: "Retry-After"}
# Examples of operations with two kinds of responses.
OTHER_EXAMPLES = {("send_notification", "200"): DRY_RUN_EXAMPLE}

BEARER_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, `tk_…`. A revoked or expired key is refused with 401.",
}
VALIDATION_ISSUE_SCHEMA: Json = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "pointer": {
            "type": "string",
            "description": "JSON pointer (RFC 6901) into the request body",
            "examples": ["/payload/name"],
        },
        "parameter": {"type": "string", "description": "Name of a query, path or header parameter"},
        "detail": {"type": "string"},
    },
}
PROBLEM_SCHEMA: Json = {
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
            "items": VALIDATION_ISSUE_SCHEMA,
            "maxItems": ERROR_LIMIT,
            "description": f"At most {ERROR_LIMIT}. If there are more, `detail` mentions it.",
        },
    },
    "examples": [
        {
            "type": f"{TYPE_PREFIX}invalid",
            "title": PROBLEM_TYPES[422][1],
            "status": 422,
            "detail": "is required",
            "errors": [{"pointer": "/payload/name", "detail": "is required"}],
        }
    ],
}


def install(app: FastAPI) -> None:
    def schema() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = build_document(app)
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]


def build_document(app: FastAPI) -> Json:
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM_SCHEMA
    _add_descriptions(schemas)
    components["securitySchemes"] = {"key": BEARER_SCHEME}
    components["responses"] = {name: problem_response(status) for status, name in SHARED_RESPONSES.items()}
    endpoints = dict(_endpoints(app))
    for path, operations in schema.get("paths", {}).items():
        for method, operation in operations.items():
            _add_security_and_problems(operation, path, endpoints[method, path])
            _add_examples(operation)
    return schema


def _add_descriptions(schemas: Json) -> None:
    """Describe the schemas and fields whose models do not."""
    given = yaml.safe_load(DESCRIPTIONS.read_text(encoding="utf-8"))
    for name, schema in schemas.items():
        default = PAGE_DESCRIPTION if name.startswith("Page_") else given["schemas"].get(name, "")
        schema.setdefault("description", default)
        for field, described in schema.get("properties", {}).items():
            default = given["fields"].get(f"{name}.{field}", given["fields"].get(field, ""))
            described.setdefault("description", default)


def _endpoints(app: FastAPI) -> Iterator[tuple[tuple[str, str], object]]:
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute):
            yield from (((method.lower(), str(route.path_format)), route.endpoint) for method in route.methods or ())


def _too_large(limits: BodyLimits) -> str:
    return f"The body has more than {limits.size} bytes or {limits.values} JSON values"


def _add_security_and_problems(operation: Json, path: str, endpoint: object) -> None:
    """Add the security scheme and the problems that the operation can return."""
    responses = operation["responses"]
    responses.pop("422", None)
    problems: dict[int, Json] = {
        status: {"$ref": f"#/components/responses/{name}"} for status, name in SHARED_RESPONSES.items()
    }
    scope = str(getattr(endpoint, "scope", PUBLIC_SCOPE))
    if scope != PUBLIC_SCOPE:
        operation["security"] = [{"key": []}]
        operation["x-scope"] = scope
        problems[401] = problem_response(401, header="WWW-Authenticate")
        problems[403] = problem_response(403, f"The API key lacks the scope '{scope}', or its tenant is suspended")
    if "requestBody" in operation:
        problems |= {
            400: problem_response(400),
            413: problem_response(413, _too_large(getattr(endpoint, "limits", DEFAULT_BODY_LIMITS))),
        }
    if not hasattr(endpoint, "any_query"):
        problems[422] = problem_response(422, INVALID_DESCRIPTION)
    if "{" in path:
        problems[404] = problem_response(404)
    for status, problem in problems.items():
        responses.setdefault(str(status), problem)
    operation["responses"] = dict(sorted(responses.items()))


def _add_examples(operation: Json) -> None:
    """Add an example to every response with a body, at the position that tools read."""
    for status, described in operation["responses"].items():
        if status.startswith("2") and "content" in described and operation["operationId"] in EXAMPLES:
            example = OTHER_EXAMPLES.get((operation["operationId"], status), EXAMPLES[operation["operationId"]])
            described["content"]["application/json"]["example"] = example


def problem_response(status: int, description: str = "", *, header: str | None = None) -> Json:
    header = header or RETRY_HEADERS.get(status)
    return {
        "description": description or PROBLEM_TYPES[status][1],
        "headers": {header: {"schema": {"type": "string"}}} if header else {},
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def problem_responses(*statuses: int) -> dict[int | str, Json]:
    """Return the `responses` of a route that can also return these problems, such as 409."""
    return {status: problem_response(status) for status in statuses}
