"""Test the order of the checks on a small application."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Query, Request

from api import error_handlers, openapi
from api.authenticated_route import BODY_LIMIT, AuthenticatedRoute, public, read_body, scope
from api.dependencies import CallerDep
from api.key_uses import KeyUses
from api.limits.rate_limits import RateLimits
from api.problems import MEDIA_TYPE
from api.request_middleware import RequestIdMiddleware
from api.schemas.base import Model
from config import Settings
from storage.api_keys import ApiKeyInfo, hash_secret
from storage.database import Database

TENANT = uuid4()
NOWHERE = "postgresql+asyncpg://127.0.0.1:1/none"
KEYS = {"good": frozenset({"send"}), "reader": frozenset({"read"})}
GOOD = {"Authorization": "Bearer good"}
AS_JSON = {"Content-Type": "application/json"}


class ThingBody(Model):
    name: str
    number: int = 0


class ApiKeyLookups:
    def was_valid(self, hash: str) -> bool:
        return False

    async def key(self, hash: str) -> ApiKeyInfo | None:
        for secret, scopes in KEYS.items():
            if hash_secret(secret) == hash:
                return ApiKeyInfo(
                    id=UUID(int=1),
                    tenant=TENANT,
                    name=secret,
                    scopes=scopes,
                    default_language="en",
                    expires_at=None,
                    is_dev=False,
                    is_suspended=False,
                )
        return None


@dataclass
class OnlyKeys:
    catalog: ApiKeyLookups
    settings: Settings


router = APIRouter(route_class=AuthenticatedRoute)


@router.post("/things")
@scope("send")
async def make_thing(body: ThingBody, caller: CallerDep) -> dict[str, Any]:
    return {"name": body.name, "tenant": str(caller.tenant)}


@router.post("/large")
@scope("send", max_body=BODY_LIMIT * 2)
async def make_large(body: dict[str, Any]) -> int:
    return len(body["text"])


@router.get("/things/{name}")
@scope("read")
async def get_thing(name: str, limit: Annotated[int, Query(ge=1)] = 1) -> str:
    return name


@router.post("/callbacks")
@public
async def callback(request: Request) -> int:
    return len(await read_body(request, 10))


@pytest.fixture
async def client() -> httpx2.AsyncClient:
    app = FastAPI()
    app.state.container = OnlyKeys(catalog=ApiKeyLookups(), settings=Settings(env="dev", _env_file=None))
    app.state.key_uses = KeyUses(Database(NOWHERE))
    app.state.rate_limits = RateLimits(app.state.container.settings)
    app.include_router(router, prefix="/api")
    app.add_middleware(RequestIdMiddleware)
    error_handlers.install(app)
    openapi.install(app)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test/api")


async def post(client: httpx2.AsyncClient, content: Any, **headers: str) -> httpx2.Response:
    return await client.post("/things", content=content, headers={**GOOD, **AS_JSON, **headers})


async def test_a_good_request_passes(client: httpx2.AsyncClient) -> None:
    response = await post(client, b'{"name": "x"}')
    assert (response.status_code, response.json()) == (200, {"name": "x", "tenant": str(TENANT)})


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer  ", "Bearer bad", "Basic good", "good", "Bearer göod", "Bearer good x"]
)
async def test_a_bad_key_is_the_first_thing_noticed(client: httpx2.AsyncClient, authorization: str) -> None:
    response = await client.post(
        "/things", content=b"\xff{" * BODY_LIMIT, headers={b"Authorization": authorization.encode()}
    )
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.json()["type"] == "urn:tocsin:problem:unauthenticated"


async def test_two_authorization_headers_are_no_key(client: httpx2.AsyncClient) -> None:
    both = [("Authorization", "Bearer good"), ("Authorization", "Bearer bad")]
    assert (await client.post("/things", headers=both)).status_code == 401


async def test_the_scheme_may_be_written_in_any_case(client: httpx2.AsyncClient) -> None:
    assert (await post(client, b'{"name": "x"}', Authorization="bearer good")).status_code == 200


async def test_the_body_of_a_caller_without_a_key_is_not_read(client: httpx2.AsyncClient) -> None:
    transport: Any = client._transport
    received: list[int] = []

    async def receive() -> Any:
        received.append(1)
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Any) -> None: ...

    request = {
        "type": "http", "method": "POST", "path": "/api/things", "headers": [], "query_string": b"",
        "http_version": "1.1", "scheme": "http", "server": ("test", 80), "client": ("test", 1), "root_path": "",
    }  # fmt: skip
    await transport.app(request, receive, send)
    assert received == []


async def test_a_missing_scope_comes_before_the_body(client: httpx2.AsyncClient) -> None:
    response = await post(client, b"{", Authorization="Bearer reader")
    assert (response.status_code, response.json()["detail"]) == (403, "The API key lacks the scope 'send'.")


async def test_a_declared_length_is_believed_at_once(client: httpx2.AsyncClient) -> None:
    assert (await post(client, b"{" * (BODY_LIMIT + 1))).status_code == 413


async def test_a_body_without_a_length_is_counted(client: httpx2.AsyncClient) -> None:
    async def chunks() -> Any:
        for _ in range(BODY_LIMIT // 1024 + 1):
            yield b"{" * 1024

    assert (await post(client, chunks())).status_code == 413


async def test_a_body_of_exactly_the_limit_is_read(client: httpx2.AsyncClient) -> None:
    frame = b'{"name": ""}'
    raw = frame[:-2] + b"x" * (BODY_LIMIT - len(frame)) + frame[-2:]
    assert (await post(client, raw)).status_code == 200


async def test_a_route_can_allow_a_larger_body(client: httpx2.AsyncClient) -> None:
    raw = b'{"text": "' + b"x" * BODY_LIMIT + b'"}'
    response = await client.post("/large", content=raw, headers=GOOD | AS_JSON)
    assert (response.status_code, response.json()) == (200, BODY_LIMIT)


@pytest.mark.parametrize("raw", [b"{", b'{"name": "x", "name": "y"}', b'{"name": "\\ud800"}', b'{"name": NaN}'])
async def test_unreadable_json_is_400(client: httpx2.AsyncClient, raw: bytes) -> None:
    response = await post(client, raw)
    assert (response.status_code, response.headers["content-type"]) == (400, MEDIA_TYPE)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
async def test_another_content_type_is_422(client: httpx2.AsyncClient, content_type: str) -> None:
    response = await post(client, b'{"name": "x"}', **{"Content-Type": content_type})
    assert response.status_code == 422
    assert response.json()["errors"] == [{"parameter": "Content-Type", "detail": "must be application/json"}]


async def test_a_charset_of_utf_8_is_allowed(client: httpx2.AsyncClient) -> None:
    response = await post(client, b'{"name": "x"}', **{"Content-Type": "application/json; charset=UTF-8"})
    assert response.status_code == 200


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b'"x"', b'{"name": 7}', b'{"name": "x", "number": "7"}'])
async def test_a_body_that_violates_the_model_is_422(client: httpx2.AsyncClient, raw: bytes) -> None:
    assert (await post(client, raw)).status_code == 422


async def test_nul_in_the_path_names_nothing_and_in_the_query_is_invalid(client: httpx2.AsyncClient) -> None:
    headers = {"Authorization": "Bearer reader"}
    assert (await client.get("/things/a%00b", headers=headers)).status_code == 404
    response = await client.get("/things/a?x=%00", headers=headers)
    assert (response.status_code, response.json()["errors"][0]["parameter"]) == (422, "x")


async def test_a_query_parameter_is_named_as_such(client: httpx2.AsyncClient) -> None:
    response = await client.get("/things/a?limit=zero", headers={"Authorization": "Bearer reader"})
    assert response.status_code == 422
    assert [error["parameter"] for error in response.json()["errors"]] == ["limit"]


async def test_a_public_route_reads_its_body_itself_and_within_a_limit(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/callbacks", content=b"a=b")).json() == 3
    assert (await client.post("/callbacks", content=b"a" * 11)).status_code == 413


def test_a_route_without_a_scope_cannot_be_made() -> None:
    async def forgot() -> None: ...

    with pytest.raises(TypeError, match="forgot"):
        APIRouter(route_class=AuthenticatedRoute).add_api_route("/x", forgot)


def test_an_unknown_scope_cannot_be_required() -> None:
    with pytest.raises(ValueError, match="reed"):
        scope("reed")(make_thing)


async def test_openapi_shows_the_model_the_key_and_the_problems(client: httpx2.AsyncClient) -> None:
    document = (await client.get("http://localhost/openapi.json")).json()
    operation = document["paths"]["/api/things"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/ThingBody"}
    assert operation["security"] == [{"key": []}]
    assert {"400", "401", "403", "413", "422", "503"} <= set(operation["responses"])
    assert MEDIA_TYPE in operation["responses"]["422"]["content"]
    assert "security" not in document["paths"]["/api/callbacks"]["post"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
