"""Test what each reply and each failure of an SMTP server proves."""

import asyncio
from collections.abc import AsyncIterator

import pytest

import providers.smtp.adapter
import providers.smtp.connections
import providers.smtp.settings
from providers.outcomes import PermanentError, ProviderRefusal, TemporaryError, UnknownOutcome
from providers.smtp.adapter import Smtp
from providers.smtp.settings import SmtpSettings
from testing.vendors.smtp import SENDER, MailMode, MailServer
from tests.outgoing_messages import ADA
from tests.providers.harness_smtp import to


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer().running() as server:
        yield server


REFUSALS = [
    ("RCPT", "550 5.1.1 <ada@example.com> User unknown", "invalid_address"),
    ("RCPT", "550 5.1.10 Null MX", "invalid_address"),
    ("RCPT", "550 No such user", "refused_recipient"),
    ("RCPT", "551 User not local", "refused_recipient"),
    ("RCPT", "553 5.1.3 Bad address syntax", "invalid_address"),
    ("RCPT", "501 5.1.3 Bad address syntax", "invalid_address"),
    ("RCPT", "550 5.2.2 Mailbox full", "mailbox_full"),
    ("RCPT", "550 5.2.1 Mailbox disabled", "mailbox_disabled"),
    ("RCPT", "550 5.7.1 Blocked", "refused_by_policy"),
    ("DATA", "554 5.7.1 Looks like spam", "refused_by_policy"),
    ("DATA", "554 Transaction failed", "content_refused"),
    ("DATA", "552 5.3.4 Message too big", "too_large"),
]


@pytest.mark.parametrize(("at", "reply", "reason"), REFUSALS)
async def test_a_refused_recipient_is_refused_without_quoting_the_address(
    server: MailServer, at: str, reply: str, reason: str
) -> None:
    server.replies = {at: reply}
    result = await Smtp(server.settings()).send(to())
    assert isinstance(result, ProviderRefusal)
    assert (result.reason, result.response["code"]) == (reason, int(reply[:3]))
    assert ADA not in repr(result)


@pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("421 4.3.2 Going down", "unavailable"),
        ("450 4.2.1 Busy", "greylisted"),
        ("451 4.7.1 Greylisted", "greylisted"),
        ("452 4.3.1 Full", "unavailable"),
        ("452 4.2.2 Over quota", "mailbox_full"),
        ("552 5.2.2 Over quota", "mailbox_full"),
    ],
)
async def test_a_retry_reply_is_temporary_and_names_its_scope(
    server: MailServer, at: str, reply: str, reason: str
) -> None:
    server.replies = {at: reply}
    if (at, reply[0]) == ("MAIL", "5"):
        pytest.skip("final before a recipient is named")
    with pytest.raises(TemporaryError) as caught:
        await Smtp(server.settings()).send(to())
    assert caught.value.reason == ("unavailable" if at == "MAIL" else reason)
    assert caught.value.response["code"] == int(reply[:3])
    assert ADA not in repr(caught.value.response)


@pytest.mark.parametrize(
    ("at", "reply", "reason"),
    [
        ("MAIL", "550 5.7.60 Not your address", "sender_refused"),
        ("MAIL", "553 5.7.1 Not owned by user", "sender_refused"),
        ("MAIL", "530 5.7.0 Authentication required", "credentials_refused"),
        ("RCPT", "530 5.7.0 Authentication required", "credentials_refused"),
        ("DATA", "530 5.7.0 Authentication required", "credentials_refused"),
    ],
)
async def test_a_permanent_error_about_the_account_is_permanent(
    server: MailServer, at: str, reply: str, reason: str
) -> None:
    server.replies = {at: reply}
    with pytest.raises(PermanentError, match=reason):
        await Smtp(server.settings()).send(to())


@pytest.mark.parametrize("at", ["RCPT", "DATA"])
@pytest.mark.parametrize(
    "reply",
    [
        "554 5.7.1 <ada@example.com>: Relay access denied",
        "550 5.7.1 <ada@example.com>... Relaying denied",
        "550 5.7.1 Unable to relay",
        "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
        "550 relay not permitted",
        "551 Relaying is denied",
    ],
)
async def test_a_relay_refusal_is_not_about_the_recipient(server: MailServer, at: str, reply: str) -> None:
    server.replies = {at: reply}
    with pytest.raises(PermanentError, match="relay_denied") as caught:
        await Smtp(server.settings()).send(to())
    assert caught.value.response["code"] == int(reply[:3])
    assert ADA not in repr(caught.value.response)


@pytest.mark.parametrize(
    ("address", "reply", "reason"),
    [
        ("bob@relay-denied.example", "550 5.1.1 <bob@relay-denied.example>: User unknown", "invalid_address"),
        ("relay denied@x.org", "", "invalid_address"),
        (ADA, "550 5.1.1 relay.example.com said: no such user", "invalid_address"),
        (ADA, "550 5.7.1 Blocked by relay.example.com", "refused_by_policy"),
    ],
)
async def test_a_relay_that_is_only_named_is_not_the_reason(
    server: MailServer, address: str, reply: str, reason: str
) -> None:
    server.replies = {"RCPT": reply}
    assert await refused(server, address) == reason


async def refused(server: MailServer, address: str) -> str:
    result = await Smtp(server.settings()).send(to(address))
    assert isinstance(result, ProviderRefusal), result
    return result.reason


async def test_a_relay_that_is_denied_for_now_is_temporary(server: MailServer) -> None:
    server.replies = {"RCPT": "454 4.7.1 <ada@example.com>: Relay access denied"}
    with pytest.raises(TemporaryError):
        await Smtp(server.settings()).send(to())


async def test_a_wrong_password_is_permanent(server: MailServer) -> None:
    with pytest.raises(PermanentError, match="credentials_refused"):
        await Smtp(server.settings(password="wrong")).send(to())
    assert server.ledger == []


async def test_a_server_without_a_login_is_unsuitable_for_one() -> None:
    async with MailServer(login=False).running() as server:
        with pytest.raises(PermanentError, match=r"^login_not_offered$"):
            await Smtp(server.settings(username="u", password="p")).send(to())


async def test_a_server_that_offers_no_login_at_all_is_unsuitable_too() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while await reader.readline():
            writer.write(b"250 here\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = SmtpSettings.model_validate(
            {"host": "127.0.0.1", "port": port, "tls": "none", "username": "u", "from": SENDER}
        )
        with pytest.raises(PermanentError, match=r"^login_not_offered$"):
            await Smtp(settings).check()


@pytest.mark.parametrize("mode", [MailMode.CUT_AT_GREETING, MailMode.CUT_AT_RCPT])
async def test_a_connection_cut_before_the_content_is_temporary(server: MailServer, mode: MailMode) -> None:
    server.mode = mode
    with pytest.raises(TemporaryError, match="connect_failed"):
        await Smtp(server.settings()).send(to())
    assert server.connections == 1


async def test_a_refused_connection_is_temporary(server: MailServer) -> None:
    with pytest.raises(TemporaryError, match="connect_failed"):
        await Smtp(server.settings(port=1)).send(to())
    with pytest.raises(TemporaryError, match="connect_failed"):
        await Smtp(server.settings(host="missing.invalid")).send(to())


async def test_a_server_that_stalls_before_the_content_is_temporary(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers.smtp.adapter, "PRE_DATA_TIMEOUT", 0.2)
    server.mode = MailMode.STALL
    with pytest.raises(TemporaryError, match="timeout"):
        await Smtp(server.settings()).send(to())


@pytest.mark.parametrize(
    ("mode", "reason"), [(MailMode.LOSE, "connection_lost"), (MailMode.GARBLE, "malformed_response")]
)
async def test_a_failure_after_the_content_is_unknown(server: MailServer, mode: MailMode, reason: str) -> None:
    server.mode = mode
    message = to()
    with pytest.raises(UnknownOutcome, match=reason):
        await Smtp(server.settings()).send(message)
    assert len(server.kept(message.attempt_id)) == 1
    assert server.connections == 1
