"""Test the transport: one attempt, a limited response, and what each connection failure proves."""

import asyncio
import socket
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import h2.exceptions
import httpx2
import pytest

import providers.transport
from providers.http2 import Http2Transport
from providers.outcomes import TemporaryError, UnknownOutcome
from providers.transport import RESPONSE_LIMIT, Transport, VendorResponse, basic_auth, has_basic_auth, outgoing_client
from tests.code.tree import ROOT

Call = Callable[[str], Awaitable[VendorResponse]]


@asynccontextmanager
async def line(*sent: bytes, cut: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve these bytes for each request, then reset if `cut`. Yield the address and the request heads."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            for part in sent:
                writer.write(part)
                await writer.drain()
            if cut:
                writer.transport.abort()
            else:
                await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", heads
    server.close()


async def post(url: str) -> VendorResponse:
    async with outgoing_client() as client:
        return await Transport(client).post(url, json={"a": 1})


async def get(url: str, **more: Any) -> VendorResponse:
    async with outgoing_client() as client:
        return await Transport(client).get(url, **more)


@pytest.mark.parametrize("call", [post, get])
async def test_requests_carry_the_user_agent(call: Call) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    async with line(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (url, heads):
        await call(url)
    assert f"user-agent: tocsin/{version}" in heads[0].decode().lower()


async def test_a_cookie_of_a_response_goes_to_no_other_request() -> None:
    """A receiver could set cookies for its parent domain, which receivers of other tenants would get."""
    reply = b"HTTP/1.1 200 OK\r\nSet-Cookie: seen=1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with line(reply) as (url, heads), outgoing_client() as client:
        for _ in range(2):
            await Transport(client).post(url)
    assert list(client.cookies.jar) == []
    assert ["cookie" in head.decode().lower() for head in heads] == [False, False]


both = pytest.mark.parametrize("call", [post, get])


@pytest.mark.parametrize("closed", [True, False], ids=["no server listens", "no such name"])
@both
async def test_an_unsent_request_is_temporary(call: Call, closed: bool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(TemporaryError, match="connect_failed"):
        await call(f"http://127.0.0.1:{port}/" if closed else "http://missing.invalid/")


@pytest.mark.parametrize("url", ["ftp://example.com/", "nothing", "http://[::1/"])
@both
async def test_an_invalid_address_is_never_called(call: Call, url: str) -> None:
    with pytest.raises(TemporaryError, match="connect_failed"):
        await call(url)


@both
async def test_a_connection_cut_before_the_response_is_unknown_and_not_retried(call: Call) -> None:
    async with line(cut=True) as (url, heads):
        with pytest.raises(UnknownOutcome, match="connection_lost"):
            await call(url)
    assert len(heads) == 1


@both
async def test_a_response_that_is_not_http_proves_nothing(call: Call) -> None:
    async with line(b"SMTP ready\r\n\r\n") as (url, _):
        with pytest.raises(UnknownOutcome, match="connection_lost"):
            await call(url)


@both
async def test_an_accepted_response_with_a_truncated_body_is_accepted(call: Call) -> None:
    async with line(b'HTTP/1.1 202 A\r\ncontent-length: 100\r\n\r\n{"id"', cut=True) as (url, _):
        result = await call(url)
    assert (result.status, result.is_2xx, result.json()) == (202, True, {})


@both
async def test_a_refused_response_with_a_truncated_body_proves_nothing(call: Call) -> None:
    async with line(b"HTTP/1.1 400 B\r\ncontent-length: 100\r\n\r\n{", cut=True) as (url, _):
        with pytest.raises(UnknownOutcome, match="connection_lost"):
            await call(url)


@pytest.mark.parametrize(("status", "accepted"), [(200, True), (400, False)])
@both
async def test_an_endless_body_is_abandoned(
    call: Call, monkeypatch: pytest.MonkeyPatch, status: int, accepted: bool
) -> None:
    monkeypatch.setattr(providers.transport, "BODY_TIMEOUT", 0.1)
    async with line(f"HTTP/1.1 {status} X\r\ncontent-length: 9\r\n\r\n.".encode()) as (url, _):
        if accepted:
            assert (await call(url)).is_2xx
            return
        with pytest.raises(UnknownOutcome, match="timeout"):
            await call(url)


class BrokenBody(httpx2.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"{"
        raise h2.exceptions.ProtocolError


@pytest.mark.parametrize(("status", "accepted"), [(200, True), (400, False)])
@pytest.mark.parametrize("kind", [Transport, Http2Transport])
async def test_a_body_that_breaks_the_protocol_leaves_the_status(
    kind: type[Transport], status: int, accepted: bool
) -> None:
    respond = httpx2.MockTransport(lambda _: httpx2.Response(status, stream=BrokenBody()))
    async with outgoing_client(respond) as client:
        if accepted:
            assert (await kind(client).post("https://a.example/")).is_truncated
            return
        with pytest.raises(UnknownOutcome, match="connection_lost"):
            await kind(client).post("https://a.example/")


@both
async def test_a_large_body_is_read_as_far_as_the_limit(call: Call) -> None:
    head = f"HTTP/1.1 200 O\r\ncontent-length: {10 * 1024 * 1024}\r\n\r\n".encode()
    async with line(head, *[b"x" * 1024 * 1024] * 10) as (url, _):
        assert len((await call(url)).body) == RESPONSE_LIMIT


async def test_a_lookup_has_parameters_no_body_and_its_own_limit() -> None:
    head = b"HTTP/1.1 200 O\r\ncontent-length: 100000\r\n\r\n"
    async with line(head, b"x" * 100_000) as (url, heads):
        result = await get(
            url, params={"To": "+44", "query": 'a="b"'}, headers={"authorization": "Basic x"}, limit=70_000
        )
    assert len(result.body) == 70_000
    [sent] = heads
    assert sent.startswith(b"GET /?To=%2B44&query=a%3D%22b%22 HTTP/1.1\r\n")
    assert b"authorization: Basic x\r\n" in sent.lower().replace(b"basic", b"Basic")
    assert b"content-length" not in sent.lower()


@both
async def test_a_redirect_is_a_final_response(call: Call) -> None:
    async with line(b"HTTP/1.1 307 T\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n") as (url, heads):
        result = await call(url)
    assert (result.status, len(heads)) == (307, 1)


@both
async def test_responses_are_requested_without_compression(call: Call) -> None:
    async with line(b"HTTP/1.1 200 O\r\ncontent-length: 0\r\n\r\n") as (url, heads):
        await call(url)
    assert b"accept-encoding: identity\r\n" in heads[0].lower()


@both
async def test_a_proxy_in_the_environment_is_not_used(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with line(b"HTTP/1.1 200 O\r\ncontent-length: 0\r\n\r\n") as (url, _):
        assert (await call(url)).is_2xx


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (basic_auth("tocsin", "sesame"), True),
        (basic_auth("tocsin", "another"), False),
        (basic_auth("another", "sesame"), False),
        ({"authorization": "é"}, False),
        ({}, False),
    ],
)
def test_a_login_is_the_whole_login(headers: dict[str, str], expected: bool) -> None:
    given = {name.lower(): value for name, value in headers.items()}
    assert has_basic_auth(given, "tocsin", "sesame") is expected


def test_an_empty_password_is_no_login() -> None:
    given = {"authorization": basic_auth("tocsin", "")["Authorization"]}
    assert not has_basic_auth(given, "tocsin", "")
