"""Test `/openapi.json`: operations, schemas and fields have descriptions, and examples match their schemas."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from api.examples import EXAMPLES
from api.openapi import DESCRIPTIONS
from domain.json_types import Json
from tests.api.openapi_operations import DOCUMENT, fits, operation, operations

FIRST = {"send_notification", "send_batch", "get_notification", "list_notifications", "list_inbox", "list_outbox"}
FIRST |= {f"{verb}_{noun}" for verb in ("put", "get") for noun in ("recipient", "preferences", "notification_type")}
FIRST |= {"list_notification_types", "save_template", "list_templates", "preview_template", "get_webhook_secret"}


def examples() -> Iterator[tuple[str, str, Json]]:
    """Yield operation id, status and content of every response with an example."""
    for _, one in operations():
        for status, response in one["responses"].items():
            content = response.get("content", {}).get("application/json", {})
            if "example" in content:
                yield one["operationId"], status, content


def exemplified(node: Any) -> Iterator[Json]:
    """Yield every schema that has examples."""
    if isinstance(node, dict) and isinstance(node.get("examples"), list):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from exemplified(child)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from references(child)


@pytest.mark.parametrize("name", [name for name, _ in operations()])
def test_every_operation_has_a_one_line_summary(name: str) -> None:
    assert re.fullmatch(r"[A-Z0-9`][^\n]{15,}\.", operation(name).get("description", ""))


@pytest.mark.parametrize(
    ("name", "content"), [pytest.param(name, content, id=f"{name} {status}") for name, status, content in examples()]
)
def test_an_example_fits_the_schema_of_its_response(name: str, content: Json) -> None:
    assert fits(content["schema"], content["example"])
    assert not fits(content["schema"], content["example"] | {"strange": 1})


def test_frequent_operations_show_a_response_and_every_example_is_used() -> None:
    shown = {name for name, _, _ in examples()}
    assert FIRST <= shown == set(EXAMPLES)


@pytest.mark.parametrize(
    "name",
    [
        *("SendBody", "BatchRequest", "TypeBody", "TemplateBody", "PreviewBody"),
        *("KeyBody", "RotateBody", "TenantBody", "Problem"),
    ],
)
def test_frequent_request_bodies_have_an_example(name: str) -> None:
    assert DOCUMENT["components"]["schemas"][name]["examples"]


def test_every_example_fits_its_schema() -> None:
    schemas = list(exemplified(DOCUMENT))
    assert len(schemas) > 20
    assert [schema for schema in schemas for example in schema["examples"] if not fits(schema, example)] == []


def answered(node: Any, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the names of all members of a schema, including those of referenced schemas."""
    for reference in set(references(node)) - seen:
        yield from answered(DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]], seen | {reference})
    if isinstance(node, dict):
        yield from node.get("properties", {})
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from answered(child, seen)


def test_every_schema_and_field_has_a_description() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    described = {name: schema.get("description") for name, schema in schemas.items()}
    for name, schema in schemas.items():
        described |= {
            f"{name}.{field}": value.get("description") for field, value in schema.get("properties", {}).items()
        }
    assert [name for name, description in described.items() if not description] == []


def test_every_description_of_the_file_is_used() -> None:
    used = {
        value["description"]
        for schema in DOCUMENT["components"]["schemas"].values()
        for value in (schema, *schema.get("properties", {}).values())
    }
    given = yaml.safe_load(DESCRIPTIONS.read_text(encoding="utf-8"))
    assert [text for group in given.values() for text in group.values() if text not in used] == []


def test_secrets_are_returned_only_on_creation() -> None:
    """`get_webhook_secret` computes its secret, which is not stored."""
    secrets = {"secret", "previous_secret", "token", "subscription", "auth", "p256dh", "hash"}
    shown = {
        one["operationId"]
        for _, one in operations()
        if secrets
        & {name for status, response in one["responses"].items() if status < "3" for name in answered(response)}
    }
    assert shown == {"put_event_endpoint", "rotate_event_secret", "get_webhook_secret"}


def test_every_reference_resolves() -> None:
    there = {
        f"#/components/{kind}/{name}" for kind in ("schemas", "responses") for name in DOCUMENT["components"][kind]
    }
    assert set(references(DOCUMENT)) <= there


def test_constraints_beyond_the_schema_are_described() -> None:
    fields = DOCUMENT["components"]["schemas"]["TypeBody"]["properties"]
    refused = {name for name, field in fields.items() if field.get("description") == "Refused: not supported yet."}
    assert refused == {"sensitive", "variants"}


def test_the_key_of_a_batch_item_has_the_schema_of_the_header() -> None:
    [header] = operation("POST /notifications/send")["parameters"]
    item = DOCUMENT["components"]["schemas"]["BatchRequest"]["properties"]["items"]["items"]
    allowed = item["properties"]["idempotency_key"]["anyOf"]
    assert allowed == header["schema"]["anyOf"]
    assert allowed[0] == {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
