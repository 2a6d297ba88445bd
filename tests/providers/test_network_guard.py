"""Test requests to addresses that users choose: no name leads to an internal address, whatever it resolves to."""

import asyncio
import ssl
import threading
import time
from typing import Any

import httpcore2
import httpx2
import pytest
import trustme

from domain.target_urls import TargetPolicy
from providers.network_guard import GuardedBackend, Resolver, guarded_http_transport, is_local_address, resolve
from providers.outcomes import TemporaryError
from providers.transport import Transport
from tests.providers.guarded_network import Names, Network, backend, way


@pytest.mark.parametrize("inside", ["10.0.0.1", "::1", "fe80::1%2", "169.254.169.254"])
async def test_one_internal_address_refuses_the_name(inside: str) -> None:
    network = Network()
    async with way(backend(Names(["8.8.8.8", inside]), network)) as transport:
        with pytest.raises(TemporaryError):
            await transport.post("http://example.com/", content=b"{}")
    assert network.called == []


async def test_a_changing_name_is_resolved_once_and_called_at_the_checked_address() -> None:
    names, network = Names(["8.8.8.8"], ["127.0.0.1"]), Network()
    async with way(backend(names, network)) as transport:
        await transport.post("http://rebind.example/", content=b"{}")
    assert (names.resolved, network.called) == (["rebind.example"], ["8.8.8.8"])


async def test_a_changing_name_is_checked_again_on_the_next_connection() -> None:
    to = backend(Names(["8.8.8.8"], ["127.0.0.1"]), Network())
    async with way(to) as transport:
        await transport.post("http://rebind.example/", headers={"connection": "close"}, content=b"{}")
    async with way(to) as transport:
        with pytest.raises(TemporaryError):
            await transport.post("http://rebind.example/", content=b"{}")


async def test_an_unresponsive_address_is_skipped_for_the_next() -> None:
    network = Network()
    network.dead = {"2606:4700::1111"}
    async with way(backend(Names(["2606:4700::1111", "8.8.8.8"]), network)) as transport:
        assert (await transport.post("http://example.com/", content=b"{}")).status == 200
    assert network.called == ["2606:4700::1111", "8.8.8.8"]


async def test_a_name_without_an_address_and_a_resolver_that_fails_are_temporary() -> None:
    async def fails(host: str, port: int) -> list[str]:
        raise OSError

    for resolver in (Names([]), fails):
        async with way(backend(resolver, Network())) as transport:
            with pytest.raises(TemporaryError):
                await transport.post("http://example.com/", content=b"{}")


async def test_a_resolver_that_hangs_is_given_up_before_anything_was_sent() -> None:
    async def hangs(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    client = httpx2.AsyncClient(transport=guarded_http_transport(backend(hangs, Network())), timeout=0.1)
    async with client:
        with pytest.raises(TemporaryError):
            await Transport(client).post("http://example.com/", content=b"{}")


async def test_hanging_names_do_not_block_other_threads() -> None:
    loop, busy = asyncio.get_running_loop(), threading.Event()
    blocked = [loop.run_in_executor(None, busy.wait) for _ in range(40)]
    try:
        async with asyncio.timeout(60):
            assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]
    finally:
        busy.set()
        await asyncio.gather(*blocked)


async def test_a_proxy_in_the_environment_does_not_bypass_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://8.8.8.8:3128")
    network = Network()
    async with way(backend(network=network)) as transport:
        with pytest.raises(TemporaryError):
            await transport.post("http://127.0.0.1/", content=b"{}")
    assert network.called == []


async def test_a_unix_socket_is_internal() -> None:
    with pytest.raises(httpcore2.ConnectError):
        await backend().connect_unix_socket("/var/run/docker.sock")


UNREACHABLE: dict[str, Resolver] = {
    "inside": Names(["10.0.0.1"]),
    "metadata": Names(["169.254.169.254"]),
    "partly inside": Names(["8.8.8.8", "::1"]),
    "no such name": Names([]),
    "no server responds": Names(["8.8.4.4"]),
}


@pytest.mark.parametrize("names", UNREACHABLE.values(), ids=UNREACHABLE)
async def test_internal_and_unreachable_targets_fail_alike(names: Resolver) -> None:
    """The error is the same, and so is the minimum time."""
    network = Network()
    network.dead = {"8.8.4.4"}
    began = time.monotonic()
    async with way(GuardedBackend(TargetPolicy(), names, network, failure_delay=0.3)) as transport:
        with pytest.raises(TemporaryError) as failed:
            await transport.post("http://example.com/", content=b"{}")
    assert (failed.value.reason, failed.value.response) == ("connect_failed", {"error": "ConnectError"})
    assert time.monotonic() - began >= 0.29


@pytest.mark.parametrize("port", [25, 22, 5432, 8000, 8080])
async def test_only_web_ports_are_called(port: int) -> None:
    network = Network()
    async with way(backend(Names(["8.8.8.8"]), network)) as transport:
        with pytest.raises(TemporaryError):
            await transport.post(f"http://example.com:{port}/", content=b"{}")
    async with way(backend(Names(["8.8.8.8"]), network, ports=frozenset({port}))) as transport:
        assert (await transport.post(f"http://example.com:{port}/", content=b"{}")).status == 200
    assert network.called == ["8.8.8.8"]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://tocsin.example/", "8.8.8.8"),
        ("http://TOCSIN.example./", "8.8.8.8"),
        ("http://other.example/", "8.8.4.4"),
        ("http://127.0.0.1:8000/", "127.0.0.1"),
        ("http://localhost:8000/", "::1"),
        ("http://0.0.0.0:8000/", "0.0.0.0"),
    ],
)
async def test_this_installation_is_not_called_also_where_private_addresses_are_allowed(url: str, address: str) -> None:
    network, allowed = Network(), {"private": True, "ports": frozenset[int](), "own_port": 8000}
    own = "8.8.4.4" if "other" in url else "tocsin.example"
    async with way(backend(Names([address]), network, own_host=own, **allowed)) as transport:
        with pytest.raises(TemporaryError):
            await transport.post(url, content=b"{}")
    assert network.called == []
    async with way(backend(Names(["127.0.0.1"]), network, own_host=own, **allowed)) as transport:
        await transport.post("http://127.0.0.1:8001/", content=b"{}")


def test_addresses_of_this_machine_are_known() -> None:
    assert [
        is_local_address(address) for address in ("127.0.0.1", "127.9.9.9", "0.0.0.0", "8.8.8.8", "2606:4700::1111")
    ] == [
        *(True, True, True),
        *(False, False),
    ]


class Detour(httpcore2.AnyIOBackend):
    """Check a public address, and connect to the test's server in its place."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        return await super().connect_tcp("127.0.0.1", self.port)


async def test_tls_and_the_host_header_keep_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate is for the URL's name. One for another name is refused before a byte is sent."""
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.example").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    monkeypatch.setattr(httpx2, "create_ssl_context", lambda **_: ours)
    hosts: list[bytes] = []

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        hosts.extend(line for line in head.split(b"\r\n") if line.lower().startswith(b"host:"))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0, ssl=theirs)
    detour = Detour(server.sockets[0].getsockname()[1])
    async with server, way(backend(Names(["8.8.8.8"]), detour)) as transport:
        assert (await transport.post("https://hooks.example/a", content=b"{}")).status == 204
        with pytest.raises(TemporaryError):
            await transport.post("https://other.example/a", content=b"{}")
    assert [host.lower() for host in hosts] == [b"host: hooks.example"]
