"""Test `/openapi.json`: every operation has a description, its statuses are the possible ones, and its examples
match."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import jsonschema_rs
import pytest
import yaml

from api.examples import EXAMPLES
from api.http_protocol import _problem_response
from api.openapi import DESCRIPTIONS
from api.problems import MEDIA_TYPE
from bootstrap import Container
from domain.json_types import Json
from providers.sandbox import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from tests.apps import openapi_document

DOCUMENT = openapi_document()
FIRST = {"send_notification", "send_batch", "get_notification", "list_notifications", "list_inbox", "list_outbox"}
FIRST |= {f"{verb}_{noun}" for verb in ("put", "get") for noun in ("recipient", "preferences", "notification_type")}
FIRST |= {"list_notification_types", "save_template", "list_templates", "preview_template", "get_webhook_secret"}
ANY = {"408", "429", "431", "503"}
READ = ANY | {"200", "401", "403", "422"}
BODY = ANY | {"400", "401", "403", "413", "422"}


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


def examples() -> Iterator[tuple[str, str, Json]]:
    """Yield operation id, status and content of every response with an example."""
    for _, one in operations():
        for status, response in one["responses"].items():
            content = response.get("content", {}).get("application/json", {})
            if "example" in content:
                yield one["operationId"], status, content


def fits(schema: Json, value: Any) -> bool:
    whole = {**schema, "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True).is_valid(value)


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


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("POST /notifications/send", BODY | {"200", "202"}),
        ("POST /notifications/send-batch", BODY | {"202"}),
        ("GET /notifications", READ),
        ("POST /attachments", BODY | {"200", "201", "409"}),
        ("GET /attachments/{id}", READ | {"404"}),
        ("GET /notifications/{id}", READ | {"404"}),
        ("PUT /recipients/{recipient_id}", BODY | {"200", "201", "404"}),
        ("DELETE /recipients/{recipient_id}", READ - {"200"} | {"202", "404"}),
        ("GET /notification-types/{key}", READ | {"404"}),
        ("DELETE /notification-types/{key}", READ - {"200"} | {"204", "404"}),
        ("POST /templates", BODY | {"201"}),
        ("GET /templates/{name}/versions", READ | {"404"}),
        ("POST /templates/{name}/rollback", BODY | {"200", "404", "409"}),
        ("GET /outbox", READ | {"404"}),
        ("GET /webhook-secret", READ),
        ("GET /web-push-key", READ | {"404"}),
        ("POST /keys", BODY | {"201", "409"}),
        ("POST /keys/{id}/rotate", BODY | {"201", "404", "409"}),
        ("DELETE /keys/{id}", READ - {"200"} | {"204", "404"}),
        ("POST /tenants/{key}/suspend", BODY | {"200", "404", "409"}),
        ("GET /audit", READ),
        ("POST /receipts/{provider}", ANY | {"200", "204", "400", "401", "404", "413"}),
    ],
)
def test_the_documented_statuses_are_the_possible_ones(name: str, statuses: set[str]) -> None:
    assert set(operation(name)["responses"]) == statuses


@pytest.mark.parametrize("name", [name for name, _ in operations()])
def test_every_operation_has_its_errors_as_problems(name: str) -> None:
    documented = responses(name)
    expected = ANY | ({"401", "403"} if "x-scope" in operation(name) else {"401"})
    expected |= {"404"} if "{" in name else set()
    expected |= {"400", "413"} if "requestBody" in operation(name) else set()
    errors = {status: response["content"] for status, response in documented.items() if status >= "400"}
    assert expected <= set(errors)
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert all(content == problem for content in errors.values())


@pytest.mark.parametrize("status", [408, 429, 431, 503])
def test_protocol_errors_are_shared_responses(status: int) -> None:
    """The bytes of these responses do not come from a route."""
    head, _, body = _problem_response(status).decode().partition("\r\n\r\n")
    fields = dict(line.split(": ") for line in head.split("\r\n")[1:])
    [reference] = {one["responses"][str(status)].get("$ref") for _, one in operations()}
    documented = referred({"$ref": reference})
    assert set(documented["headers"]) <= set(fields)
    assert fits(documented["content"][fields["Content-Type"]]["schema"], json.loads(body))


def test_constraints_beyond_the_schema_are_described() -> None:
    fields = DOCUMENT["components"]["schemas"]["TypeBody"]["properties"]
    refused = {name for name, field in fields.items() if field.get("description") == "Refused: not supported yet."}
    assert refused == {"sensitive", "variants"}


def test_relevant_headers_are_documented() -> None:
    documented = responses("POST /notifications/send")
    assert set(documented["202"]["headers"]) == {"Location", "Idempotent-Replayed"}
    assert (set(documented["401"]["headers"]), set(documented["503"]["headers"])) == (
        {"WWW-Authenticate"},
        {"Retry-After"},
    )
    assert set(documented["429"]["headers"]) == {"Retry-After"}


def test_the_key_of_a_batch_item_has_the_schema_of_the_header() -> None:
    [header] = operation("POST /notifications/send")["parameters"]
    item = DOCUMENT["components"]["schemas"]["BatchRequest"]["properties"]["items"]["items"]
    allowed = item["properties"]["idempotency_key"]["anyOf"]
    assert allowed == header["schema"]["anyOf"]
    assert allowed[0] == {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("status", "provider", "body", "genuine"),
    [
        (204, "sandbox", b'{"events": []}', True),
        (400, "sandbox", b'{"events": 7}', True),
        (400, "sandbox", b"\xff{", True),
        (401, "sandbox", b'{"events": []}', False),
        (404, "pigeon", b"{}", True),
        (404, "in_app", b"{}", True),
        (413, "sandbox", b" " * (1024 * 1024 + 1), True),
    ],
)
async def test_a_receipt_gets_the_documented_response(
    api: httpx2.AsyncClient, container: Container, status: int, provider: str, body: bytes, genuine: bool
) -> None:
    now = str(int(time.time()))
    secret = container.settings.secret if genuine else b"a guess"
    headers = {TIMESTAMP_HEADER: now, SIGNATURE_HEADER: sign(secret, now, body), "Authorization": ""}
    response = await api.post(f"/receipts/{provider}", content=body, headers=headers)
    assert response.status_code == status
    documented = responses("POST /receipts/{provider}")[str(status)]
    if status == 401:
        assert response.json()["title"] == documented["description"]
    if status != 204:
        assert fits(documented["content"]["application/problem+json"]["schema"], json.loads(response.content))
