"""Test that the responses in `/openapi.json` are the possible ones, with their headers and problems."""

import json
import time

import httpx2
import pytest

from api.http_protocol import _problem_response
from api.problems import MEDIA_TYPE
from bootstrap import Container
from providers.sandbox import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from tests.api.openapi_operations import fits, operation, operations, referred, responses

ANY = {"408", "429", "431", "503"}
READ = ANY | {"200", "401", "403", "422"}
BODY = ANY | {"400", "401", "403", "413", "422"}


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


def test_relevant_headers_are_documented() -> None:
    documented = responses("POST /notifications/send")
    assert set(documented["202"]["headers"]) == {"Location", "Idempotent-Replayed"}
    assert (set(documented["401"]["headers"]), set(documented["503"]["headers"])) == (
        {"WWW-Authenticate"},
        {"Retry-After"},
    )
    assert set(documented["429"]["headers"]) == {"Retry-After"}


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
