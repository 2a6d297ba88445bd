"""Test the check of an SMTP server: login, refusals, and passwords without TLS."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme

import providers.smtp.adapter
import providers.smtp.connections
import providers.smtp.settings
from providers.outcomes import PermanentError, TemporaryError
from providers.smtp.adapter import Smtp
from testing.vendors.smtp import MailServer
from tests.providers.harness_smtp import client_tls, server_tls


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer().running() as server:
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "starttls"])
async def test_a_check_reports_the_login_and_its_method(authority: trustme.CA, implicit: bool) -> None:
    async with MailServer(tls=server_tls(authority), implicit=implicit).running() as server:
        tls = "implicit" if implicit else "starttls"
        report = await Smtp(server.settings(tls=tls), client_tls(authority)).check()
    assert report == f"localhost accepts the login of tocsin (tls: {tls})"
    assert (server.connections, server.mails) == (1, 0)


async def test_a_check_without_a_login_reports_that() -> None:
    async with MailServer(login=False).running() as server:
        assert await Smtp(server.settings()).check() == "localhost responds; no login is set (tls: none)"


async def test_a_check_reports_a_refusal_after_the_login(server: MailServer) -> None:
    server.replies = {"NOOP": "421 4.3.2 Going down"}
    with pytest.raises(TemporaryError, match="unavailable"):
        await Smtp(server.settings()).check()
    server.replies = {"NOOP": "554 5.7.0 Account closed"}
    with pytest.raises(PermanentError, match="server_refused"):
        await Smtp(server.settings()).check()


async def test_a_check_does_not_wait_for_a_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers.smtp.adapter, "PRE_DATA_TIMEOUT", 0.2)

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(TemporaryError, match="timeout"):
            await Smtp(MailServer(port=port).settings(host="127.0.0.1")).check()


@pytest.mark.parametrize(
    ("changed", "in_clear"),
    [
        ({"host": "mail.example"}, True),
        ({"host": "10.0.0.5"}, True),
        ({"host": "localhost.example"}, True),
        ({"host": "mail.example", "tls": "starttls"}, False),
        ({"host": "mail.example", "tls": "implicit"}, False),
        ({"host": "mail.example", "username": None}, False),
        ({"host": "localhost"}, False),
        ({"host": "127.0.0.1"}, False),
        ({"host": "::1"}, False),
    ],
)
def test_an_unencrypted_password_is_detected_beyond_this_machine(changed: dict[str, Any], in_clear: bool) -> None:
    assert MailServer(port=25).settings(**changed).has_plaintext_login is in_clear


async def test_a_check_warns_of_an_unencrypted_password(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers.smtp.settings, "_is_loopback", lambda host: False)
    report = await Smtp(server.settings()).check()
    assert report.endswith(
        "; the password crosses the network unencrypted: set TOCSIN_SMTP_TLS to starttls or implicit"
    )
