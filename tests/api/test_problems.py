import logging
from typing import Annotated, Any

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from pydantic import Field
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from structlog.testing import capture_logs

from api import error_handlers
from api.problems import MEDIA_TYPE, Problem, conflict, invalid, not_found
from api.request_middleware import RequestIdMiddleware
from api.schemas.base import ChannelName, Duration, Id, Key, Model, Timestamp
from domain.validation_issues import issue_at, pointer_of

CANARY = "ada@example.com"


class Inner(Model):
    at: Timestamp
    length: Duration = "1s"


class InvalidBody(Model):
    id: Id | None = None
    channel: ChannelName | None = None
    key: Key | None = None
    number: Annotated[int, Field(ge=1, le=5)] | None = None
    either: bool | dict[str, int] | None = None
    items: list[Inner] = []
    map: dict[str, Inner] = {}


def client_of(app: FastAPI) -> httpx2.AsyncClient:
    app.add_middleware(RequestIdMiddleware)
    error_handlers.install(app)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test")


@pytest.fixture
def client() -> httpx2.AsyncClient:
    app = FastAPI(redirect_slashes=False)

    @app.post("/bodies")
    async def take(body: InvalidBody) -> InvalidBody:
        return body

    @app.get("/things/{id}")
    async def get(id: Id) -> None: ...

    return client_of(app)


async def answer_to(error: Exception) -> httpx2.Response:
    app = FastAPI()

    @app.get("/")
    async def fail() -> None:
        raise error

    return await client_of(app).get("/")


async def find_issues(client: httpx2.AsyncClient, body: Any) -> list[tuple[str, str]]:
    response = await client.post("/bodies", json=body)
    assert (response.status_code, response.headers["content-type"]) == (422, MEDIA_TYPE)
    assert response.json()["status"] == 422
    assert CANARY not in response.text
    return [(error["pointer"], error["detail"]) for error in response.json()["errors"]]


async def test_a_problem_is_returned_as_raised() -> None:
    response = await answer_to(invalid(issue_at("/name", "is taken")))
    assert response.json() == {
        "type": "urn:tocsin:problem:invalid",
        "title": "The request is not valid",
        "status": 422,
        "detail": "is taken",
        "errors": [{"pointer": "/name", "detail": "is taken"}],
    }


async def test_the_other_problems_have_their_status_and_headers() -> None:
    assert (await answer_to(not_found("No such recipient."))).json()["detail"] == "No such recipient."
    response = await answer_to(conflict("Still being accepted.", retry_after=1))
    assert (response.status_code, response.headers["retry-after"]) == (409, "1")
    own = await answer_to(Problem(422, "reason", problem_type=("own", "Own title")))
    assert (own.json()["type"], own.json()["title"]) == ("urn:tocsin:problem:own", "Own title")


@pytest.mark.parametrize(
    ("segments", "pointer"),
    [((), ""), (("a", 0, "b"), "/a/0/b"), (("a/b", "c~d"), "/a~1b/c~0d"), (("~1",), "/~01"), (("",), "/")],
)
def test_pointers_follow_rfc_6901(segments: tuple[str | int, ...], pointer: str) -> None:
    assert pointer_of(*segments) == pointer


CHANNELS = "must be 'email', 'sms', 'push', 'web_push', 'in_app', 'webhook' or 'chat'"


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ({CANARY[:3]: 1}, "/ada", "is not known here"),
        ({"id": CANARY}, "/id", "must be a UUID"),
        ({"id": 7}, "/id", "must be a UUID"),
        ({"channel": CANARY}, "/channel", CHANNELS),
        ({"key": f"{CANARY} "}, "/key", "String should match pattern '^[A-Za-z0-9][A-Za-z0-9._:-]*$'"),
        ({"number": "7"}, "/number", "must be a valid integer"),
        ({"number": True}, "/number", "must be a valid integer"),
        ({"number": 7}, "/number", "must be less than or equal to 5"),
        ({"items": [{}]}, "/items/0/at", "is required"),
        ({"items": [{"at": CANARY}]}, "/items/0/at", "must be an RFC 3339 time"),
        ({"items": [{"at": 1_700_000_000}]}, "/items/0/at", "must be an RFC 3339 time"),
        ({"items": [{"at": "2026-01-31T09:00:00"}]}, "/items/0/at", "must be an RFC 3339 time"),
        ({"items": [{"at": "2026-02-31T09:00:00Z"}]}, "/items/0/at", "is not a time that exists"),
        ({"items": [{"at": "0001-01-01T00:00:00+14:00"}]}, "/items/0/at", "is not a time that exists"),
        ({"items": [{"at": "2026-01-31T09:00:00Z", "length": CANARY[:9]}]}, "/items/0/length", "must be a whole"),
        ({"map": {"a/b": {}}}, "/map/a~1b/at", "is required"),
        ({"either": CANARY}, "/either", "must be a valid boolean"),
        ([CANARY], "", "must be an object"),
    ],
)
async def test_an_issue_has_a_pointer_and_does_not_echo_input(
    client: httpx2.AsyncClient, body: Any, pointer: str, detail: str
) -> None:
    where, message = (await find_issues(client, body))[0]
    assert where == pointer
    assert message.startswith(detail)


async def test_times_are_returned_in_utc(client: httpx2.AsyncClient) -> None:
    sent = {"items": [{"at": "2026-01-31T10:00:00.25+01:00"}]}
    response = await client.post("/bodies", json=sent)
    assert response.json()["items"][0]["at"] == "2026-01-31T09:00:00.250000Z"


async def test_an_id_in_the_path_that_is_no_id_names_nothing(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/things/not-a-uuid")).status_code == 404


async def test_unknown_paths_and_methods_are_problems_too(client: httpx2.AsyncClient) -> None:
    missing, wrong, slashed = await client.get("/no"), await client.get("/bodies"), await client.post("/bodies/")
    assert [a.status_code for a in (missing, wrong, slashed)] == [404, 405, 404]
    assert wrong.headers["allow"] == "POST"
    assert {a.headers["content-type"] for a in (missing, wrong, slashed)} == {MEDIA_TYPE}


def database_error(orig: BaseException, error_class: type[DBAPIError] = DBAPIError) -> DBAPIError:
    return error_class(f"SELECT '{CANARY}'", {}, orig)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        PoolTimeout(),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.InterfaceError("connection is closed"),
        database_error(asyncpg.AdminShutdownError("going down")),
        database_error(asyncpg.TooManyConnectionsError("too many")),
        database_error(asyncpg.ReadOnlySQLTransactionError("a failover")),
        database_error(asyncpg.InterfaceError("connection is closed"), InterfaceError),
        DBAPIError("SELECT 1", {}, ConnectionResetError(), connection_invalidated=True),
    ],
)
async def test_a_database_that_is_away_is_503(error: Exception) -> None:
    response = await answer_to(error)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize(
    "error",
    [
        database_error(asyncpg.UniqueViolationError("duplicate"), IntegrityError),
        database_error(asyncpg.UndefinedTableError("no table")),
        database_error(asyncpg.CharacterNotInRepertoireError("NUL")),
        KeyError(CANARY),
    ],
)
async def test_a_bug_is_500_without_details(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as logs, caplog.at_level(logging.DEBUG):
        response = await answer_to(error)
    assert (response.status_code, response.headers["content-type"]) == (500, MEDIA_TYPE)
    assert response.json()["detail"] == "Internal server error"
    assert logs[0]["error"] == type(error).__name__
    assert logs[0]["request_id"] == response.headers["x-request-id"]
    assert any("test_problems.py" in frame for frame in logs[0]["at"])
    assert CANARY not in response.text + str(logs) + caplog.text


async def test_a_plain_request_id_is_echoed_and_another_is_replaced(client: httpx2.AsyncClient) -> None:
    echoed = await client.get("/no", headers={"X-Request-Id": "abc-1"})
    made = await client.get("/no", headers={"X-Request-Id": "<script>"})
    assert echoed.headers["x-request-id"] == "abc-1"
    assert len(made.headers["x-request-id"]) == 32
