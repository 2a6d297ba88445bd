"""The operations of the OpenAPI document and their responses."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from domain.json_types import Json
from tests.apps import openapi_document

DOCUMENT = openapi_document()


def operations() -> Iterator[tuple[str, Json]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path.removeprefix('/api/v1')}", operation


def operation(name: str) -> Json:
    return dict(operations())[name]


def responses(name: str) -> dict[str, Json]:
    """Return the responses of an operation, including the shared ones that it references."""
    return {status: referred(response) for status, response in operation(name)["responses"].items()}


def referred(response: Json) -> Json:
    reference = response.get("$ref")
    return DOCUMENT["components"]["responses"][reference.rpartition("/")[2]] if reference else response


def fits(schema: Json, value: Any) -> bool:
    whole = {**schema, "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True).is_valid(value)
