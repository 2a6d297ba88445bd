"""Test that a response of another server is one line of error, never a success."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from commands.client import open_api
from commands.errors import CommandError
from testing.vendors.http import Reply, read_request

PAGE = b"<!doctype html><title>Sign in</title>"


@asynccontextmanager
async def foreign_server(reply: Reply) -> AsyncIterator[str]:
    """Start a server that always responds with this reply. Yield its URL."""

    async def response(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(reply.wire)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(response, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def complaint(reply: Reply, method: str = "GET") -> str:
    async with foreign_server(reply) as url, open_api(url, "tk_key") as api:
        with pytest.raises(CommandError) as refused:
            await api.call(method, "/notifications", None if method == "GET" else {"payload": {}})
        [line] = refused.value.lines
        assert "\n" not in line
        return line.replace(url, "URL")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_and_no_success(method: str, status: int) -> None:
    """Following it would send the key to an unknown server."""
    reply = Reply(status=status, headers={"location": "https://elsewhere.example/"})
    assert await complaint(reply, method) == f"URL/api/v1/ responds with {status}: is it the URL of the API?"


@pytest.mark.parametrize("body", [PAGE, b"[]", b'"ok"', b"7", b"\xff{"])
async def test_a_web_page_is_no_api_response(body: bytes) -> None:
    line = await complaint(Reply(status=200, body=body, headers={"content-type": "text/html"}))
    assert line == "URL/api/v1/notifications does not respond like the API; set TOCSIN_API_URL to the URL of the API"


ODD: list[Any] = [
    PAGE,
    b"",
    [],
    "no",
    {"errors": "no"},
    {"errors": ["no"]},
    {"errors": [{"message": "no"}]},
    {"detail": {"why": "no"}},
]


@pytest.mark.parametrize("body", ODD, ids=str)
async def test_an_error_of_a_proxy_is_reported_by_its_status(body: Any) -> None:
    line = await complaint(Reply(status=502, body=body, headers={"content-type": "application/json"}))
    assert line == "GET /notifications: status 502"


async def test_an_error_of_the_api_is_printed() -> None:
    ours = {"content-type": "application/problem+json"}
    one = await complaint(Reply(status=409, body={"detail": "The row has changed."}, headers=ours), "POST")
    assert one == "POST /notifications: The row has changed."
    issue = {"pointer": "/payload/name", "detail": "is required"}
    named = await complaint(Reply(status=422, body={"detail": "Odd.", "errors": [issue]}, headers=ours), "POST")
    assert named == "payload/name: is required"
