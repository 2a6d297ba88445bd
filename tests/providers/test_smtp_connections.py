"""Test the connections to an SMTP server: TLS, and their use for several messages."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest
import trustme

import providers.smtp.adapter
import providers.smtp.connections
import providers.smtp.settings
from providers.outcomes import PermanentError, ProviderAcceptance, TemporaryError
from providers.smtp.adapter import Smtp
from testing.vendors.smtp import MailServer
from tests.outgoing_messages import ADA
from tests.polling import eventually
from tests.providers.harness_smtp import client_tls, server_tls, to


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer().running() as server:
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "starttls"])
async def test_tls_of_either_kind(authority: trustme.CA, implicit: bool) -> None:
    async with MailServer(tls=server_tls(authority), implicit=implicit).running() as server:
        settings = server.settings(tls="implicit" if implicit else "starttls")
        assert isinstance(await Smtp(settings, client_tls(authority)).send(to()), ProviderAcceptance)
        assert len(server.ledger) == 1


@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "starttls"])
async def test_an_untrusted_certificate_gets_no_mail(authority: trustme.CA, implicit: bool) -> None:
    async with MailServer(tls=server_tls(authority), implicit=implicit).running() as server:
        with pytest.raises(TemporaryError, match="connect_failed"):
            await Smtp(server.settings(tls="implicit" if implicit else "starttls")).send(to())
        assert server.ledger == []


async def test_without_starttls_nothing_is_sent_in_the_clear(server: MailServer) -> None:
    """An attacker on the path removes the offer of STARTTLS."""
    with pytest.raises(PermanentError, match=r"^starttls_not_offered$"):
        await Smtp(server.settings(tls="starttls")).send(to())
    assert server.ledger == []


async def test_a_connection_carries_the_next_messages(server: MailServer) -> None:
    provider = Smtp(server.settings())
    for address in (ADA, "ada+refuse@example.com", ADA):
        await provider.send(to(address))
    assert (server.connections, server.mails, server.accepted) == (1, 3, [ADA, ADA])


async def test_a_connection_that_the_server_closed_is_replaced(server: MailServer) -> None:
    provider = Smtp(server.settings())
    await provider.send(to())
    await server.stop()
    async with server.running():
        assert isinstance(await provider.send(to()), ProviderAcceptance)
    assert server.connections == 2


async def test_a_connection_that_no_longer_answers_is_replaced(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers.smtp.connections, "RESET_TIMEOUT", 0.1)
    provider = Smtp(server.settings())
    await provider.send(to())
    server.ignores_reset = True
    assert isinstance(await provider.send(to()), ProviderAcceptance)
    assert server.connections == 2


async def test_a_connection_carries_a_limited_number_of_messages(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers.smtp.connections, "MAX_MESSAGES", 2)
    provider = Smtp(server.settings())
    for _ in range(5):
        await provider.send(to())
    assert server.connections == 3


async def test_an_idle_connection_is_closed(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers.smtp.connections, "IDLE_LIMIT", 0.05)
    await Smtp(server.settings()).send(to())
    assert await eventually(server.count_open_connections, lambda count: count == 0) == 0


async def test_concurrent_messages_have_connections_of_their_own(server: MailServer) -> None:
    messages = [replace(to(), attempt_id=uuid4()) for _ in range(20)]
    provider = Smtp(server.settings())
    results = await asyncio.gather(*(provider.send(message) for message in messages))
    assert all(isinstance(result, ProviderAcceptance) for result in results)
    assert [len(server.kept(message.attempt_id)) for message in messages] == [1] * 20
