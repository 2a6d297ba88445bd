"""Test a hosted Temporal: TLS, client certificates, and a server that does not let us add search attributes."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from config import Settings
from dispatch.temporal.connection import connect, connect_with_settings
from dispatch.temporal.search_attributes import SEARCH_ATTRIBUTES, MissingSearchAttributes, ensure_search_attributes
from embedded.temporary_servers import temporary_temporal
from tests.polling import eventually

NAMES = [
    *("TocsinTenant", "TocsinType", "TocsinStatus", "TocsinChannel", "TocsinStep", "TocsinPriority"),
    "TocsinSchedule",
]
SERVER_NAME = "temporal.example"


@pytest.fixture(scope="module")
async def plain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Return the address of a server without our search attributes."""
    async with temporary_temporal(tmp_path_factory.mktemp("temporal")) as server:
        yield server.address


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def pem(*blobs: trustme.Blob) -> str:
    return "".join(blob.bytes().decode() for blob in blobs)


@asynccontextmanager
async def tls_proxy(plain: str, authority: trustme.CA, *, asks_for_certificate: bool) -> AsyncIterator[str]:
    """Terminate TLS in front of the server; return its address."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert(SERVER_NAME).configure_cert(context)
    if asks_for_certificate:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    host, _, port = plain.partition(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, server_writer), pump(server_reader, writer))

    listener = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until either side is gone."""
    try:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


def settings_for(address: str, **more: Any) -> Settings:
    given = {f"temporal_{name}": value for name, value in more.items()}
    return Settings(env="dev", temporal_address=address, _env_file=None, **given)


async def reached(settings: Settings) -> bool:
    client = await connect_with_settings(settings, lazy=False)
    return await client.service_client.check_health()


@pytest.mark.temporal
class TestTls:
    async def test_a_server_of_a_known_authority_is_reached(self, plain: str, authority: trustme.CA) -> None:
        async with tls_proxy(plain, authority, asks_for_certificate=False) as address:
            ca = pem(authority.cert_pem)
            assert await reached(settings_for(address, tls_ca=ca, tls_server_name=SERVER_NAME))

    @pytest.mark.parametrize("wrong", ["plain", "authority", "name", "system"])
    async def test_any_other_server_is_refused(self, plain: str, authority: trustme.CA, wrong: str) -> None:
        other_authority = trustme.CA()
        given: dict[str, dict[str, Any]] = {
            "plain": {},
            "authority": {"tls_ca": pem(other_authority.cert_pem), "tls_server_name": SERVER_NAME},
            "name": {"tls_ca": pem(authority.cert_pem), "tls_server_name": "other.example"},
            "system": {"tls": True, "tls_server_name": SERVER_NAME},
        }
        async with tls_proxy(plain, authority, asks_for_certificate=False) as address:
            with pytest.raises(RuntimeError):
                await reached(settings_for(address, **given[wrong]))

    async def test_a_server_that_requires_a_certificate_gets_the_configured_one(
        self, plain: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ours = authority.issue_cert("tocsin.example")
        contents = {
            "CA": pem(authority.cert_pem),
            "CERT": pem(*ours.cert_chain_pems),
            "KEY": pem(ours.private_key_pem),
        }
        for name, content in contents.items():
            (tmp_path / name).write_text(content)
            monkeypatch.setenv(f"TOCSIN_TEMPORAL_TLS_{name}_FILE", str(tmp_path / name))
        async with tls_proxy(plain, authority, asks_for_certificate=True) as address:
            assert await reached(settings_for(address, tls_server_name=SERVER_NAME))

    async def test_a_server_that_requires_a_certificate_refuses_clients_without_one(
        self, plain: str, authority: trustme.CA
    ) -> None:
        async with tls_proxy(plain, authority, asks_for_certificate=True) as address:
            with pytest.raises(RuntimeError):
                await reached(settings_for(address, tls_ca=pem(authority.cert_pem), tls_server_name=SERVER_NAME))


async def test_an_api_key_is_sent_by_tls_only() -> None:
    client = await connect_with_settings(
        settings_for("eu.example:7233", api_key="a secret", namespace="shop.acct"), lazy=True
    )
    config = client.service_client.config
    assert (config.api_key, client.namespace, bool(config.tls)) == ("a secret", "shop.acct", True)


def refuse(client: Client, monkeypatch: pytest.MonkeyPatch, status: RPCStatusCode, *calls: str) -> None:
    """Answer these calls as a hosted server does; forward the rest to the real one."""

    async def refused(*_: object, **__: object) -> None:
        raise RPCError("not allowed", status, b"")

    for call in calls:
        monkeypatch.setattr(client.operator_service, call, refused)


ADD, LIST = "add_search_attributes", "list_search_attributes"
refused_by = pytest.mark.parametrize("status", [RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED])
calls_refused = pytest.mark.parametrize("calls", [(ADD,), (ADD, LIST)], ids=["add", "add and list"])


@pytest.mark.temporal
@refused_by
@calls_refused
async def test_missing_search_attributes_are_named_with_their_types(
    plain: str, monkeypatch: pytest.MonkeyPatch, status: RPCStatusCode, calls: tuple[str, ...]
) -> None:
    client = await connect(plain, "default", lazy=False)
    refuse(client, monkeypatch, status, *calls)
    with capture_logs() as logs, pytest.raises(MissingSearchAttributes) as raised:
        await ensure_search_attributes(client)
    assert raised.value.missing == [
        "TocsinTenant=Keyword",
        "TocsinType=Keyword",
        "TocsinStatus=Keyword",
        "TocsinChannel=KeywordList",
        "TocsinStep=Int",
        "TocsinPriority=Int",
        "TocsinSchedule=KeywordList",
    ]
    assert [entry["log_level"] for entry in logs] == ["error"]


@pytest.mark.temporal
@calls_refused
async def test_search_attributes_that_an_operator_has_added_suffice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: tuple[str, ...]
) -> None:
    async with temporary_temporal(tmp_path) as server:
        client = await connect(server.address, "default", lazy=False)
        await ensure_search_attributes(client)
        refuse(client, monkeypatch, RPCStatusCode.PERMISSION_DENIED, *calls)

        async def is_prepared() -> bool:
            """A server knows what was added a moment later."""
            try:
                await ensure_search_attributes(client)
            except MissingSearchAttributes:
                return False
            return True

        await eventually(is_prepared, bool)
    assert set(SEARCH_ATTRIBUTES) == set(NAMES)
