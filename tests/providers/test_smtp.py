"""Test SMTP: what the server gets, and the meaning of its replies and failures."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

import pytest
import trustme
from pydantic import ValidationError

import providers.smtp.adapter
import providers.smtp.connections
import providers.smtp.settings
from domain.email_options import EmailOptions
from domain.outgoing_messages import OutgoingMessage
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError, UnknownOutcome
from providers.smtp.adapter import Smtp
from providers.smtp.settings import SmtpSettings
from testing.vendors.smtp import NAME, SENDER, KeptMail, MailMode, MailServer
from tests.outgoing_messages import ADA
from tests.polling import eventually
from tests.providers.harness_smtp import to


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer().running() as server:
        yield server


async def sent(server: MailServer, message: OutgoingMessage) -> KeptMail:
    result = await Smtp(server.settings()).send(message)
    assert isinstance(result, ProviderAcceptance), result
    [kept] = server.kept(message.attempt_id)
    return kept


async def test_the_email_has_text_with_html_as_the_alternative(server: MailServer) -> None:
    kept = await sent(server, to(subject="Grüße", html="<p>Größe</p>", text="Größe"))
    mail = kept.mail
    assert mail.get_content_type() == "multipart/alternative"
    assert [(part.get_content_type(), part.get_content().strip()) for part in mail.iter_parts()] == [
        ("text/plain", "Größe"),
        ("text/html", "<p>Größe</p>"),
    ]
    assert (mail["Subject"], mail["To"], mail["Auto-Submitted"]) == ("Grüße", ADA, "auto-generated")
    [sender] = mail["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (NAME, SENDER)
    assert abs(parsedate_to_datetime(mail["Date"]).timestamp() - datetime.now(UTC).timestamp()) < 5
    assert (kept.sender, kept.recipients) == (SENDER, [ADA])


async def test_an_email_without_html_has_text_only(server: MailServer) -> None:
    kept = await sent(server, to(html=""))
    assert kept.mail.get_content_type() == "text/plain"


async def test_the_message_id_is_that_of_the_delivery(server: MailServer) -> None:
    message = to()
    result = await Smtp(server.settings()).send(message)
    assert isinstance(result, ProviderAcceptance)
    assert result.message_id == f"{message.delivery_id}@shop.example"
    assert result.response["code"] == 250
    assert str(result.response["text"]).startswith("2.0.0 OK: queued as ")


async def test_sent_mail_has_seven_bits_and_keeps_dots_and_long_lines(server: MailServer) -> None:
    text = "Ünï 東京\n.\n..\nFrom here\n" + "x" * 5000 + "\nQUIT"
    kept = await sent(server, to(text=text, html=f"<p>{'Größe ' * 1000}</p>", subject="東京 " * 60))
    assert kept.raw.isascii()
    plain, _ = kept.mail.iter_parts()
    assert plain.get_content().splitlines() == text.splitlines()
    assert kept.mail["Subject"].strip() == ("東京 " * 60).strip()


@pytest.mark.parametrize(
    "breaks",
    [
        "\r\nBcc: eve@example.com",
        "\nBcc: eve@example.com",
        "\rBcc: eve",
        "\u2028Bcc: eve",
        "\x85Bcc: eve",
        "\x0bBcc: eve",
    ],
)
async def test_a_subject_adds_no_header(server: MailServer, breaks: str) -> None:
    kept = await sent(server, to(subject=f"Hi{breaks}"))
    assert kept.mail["Bcc"] is None
    assert kept.recipients == [ADA]
    assert kept.mail["Subject"].startswith("Hi Bcc: eve")


@pytest.mark.parametrize("before", ["", "ü "])
@pytest.mark.parametrize("line_break", ["=0D=0A", "=0A", "=0D", "=C2=85", "=E2=80=A8"])
async def test_an_encoded_word_smuggles_no_header(server: MailServer, before: str, line_break: str) -> None:
    """Python decodes a header that it parses, including line breaks, and writes them out."""
    word = f"=?utf-8?q?a{line_break}Bcc=3A_eve?="
    kept = await sent(server, to(subject=f"{before}{word}"))
    head = kept.raw.partition(b"\r\n\r\n")[0].decode()
    assert [line for line in head.splitlines() if line.lower().startswith("bcc")] == []
    assert await Smtp(server.settings()).send(to(f"{word}@example.com")) == ProviderRefusal(reason="invalid_address")


@pytest.mark.parametrize(
    "address",
    ["ada@example.com\r\nRCPT TO:<eve@example.com>", "ada@example.com> SIZE=1", "ada@example.com\n", "a b@x.org"],
)
async def test_an_address_adds_no_command(server: MailServer, address: str) -> None:
    assert await Smtp(server.settings()).send(to(address)) == ProviderRefusal(reason="invalid_address")
    assert server.ledger == []


@pytest.mark.parametrize(
    "text", ["\r\n.\r\nMAIL FROM:<eve@example.com>\r\n", "\n.\n", "\r.\r", "\r\n.\n", "\n.\r\nQUIT"]
)
async def test_a_body_cannot_end_the_message(server: MailServer, text: str) -> None:
    """SMTP smuggling: one message in, one message out."""
    await sent(server, to(text=f"before{text}after", html=f"before{text}after"))
    assert len(server.ledger) == 1
    assert b"after" in server.ledger[0].raw


async def test_the_longest_address_goes_out_in_one_header_line(server: MailServer) -> None:
    start = f"{'a' * 64}@{'b' * 63}.{'c' * 63}."
    address = start + "d" * (254 - len(start) - len(".com")) + ".com"
    kept = await sent(server, to(address))
    assert kept.recipients == [address]
    assert f"To: {address}\r\n".encode() in kept.raw


async def test_a_refused_copy_does_not_stop_the_email(server: MailServer) -> None:
    message = replace(to(), email=EmailOptions(cc=("bob+refuse@example.com",), bcc=("cleo@example.com",)))
    outcome = await Smtp(server.settings()).send(message)
    assert isinstance(outcome, ProviderAcceptance)
    assert outcome.response["refused_copies"] == 1
    assert server.accepted == [ADA, "cleo@example.com"]


async def test_an_international_domain_is_called_by_its_ascii_form(server: MailServer) -> None:
    kept = await sent(server, to("ada@exämple.de", "ada@xn--exmple-cua.de"))
    assert kept.recipients == ["ada@xn--exmple-cua.de"]
    assert kept.options == []


async def test_a_non_ascii_address_needs_a_server_that_supports_it(server: MailServer) -> None:
    refusal = await Smtp(server.settings()).send(to("ädä@example.com"))
    assert refusal == ProviderRefusal(reason="international_address_not_supported")
    async with MailServer(international=True).running() as modern:
        kept = await sent(modern, to("ädä@example.com"))
    assert kept.recipients == ["ädä@example.com"]
    assert {"SMTPUTF8", "BODY=8BITMIME"} <= set(kept.options)
    assert "ädä@example.com".encode() in kept.raw


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


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


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


def test_settings_are_read_by_their_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "password").write_text("swordfish\n")
    monkeypatch.chdir(tmp_path)
    for name, value in {"HOST": "mail", "FROM": SENDER, "RATE": "14", "PASSWORD_FILE": "password"}.items():
        monkeypatch.setenv(f"TOCSIN_SMTP_{name}", value)
    settings = SmtpSettings.read()
    assert (settings.host, settings.sender, settings.rate, settings.tls) == ("mail", SENDER, 14, "starttls")
    assert settings.password.get_secret_value() == "swordfish"


@pytest.mark.parametrize(
    "sender", ["shop", "shop@", "@shop.example", "Shop <shop@shop.example>", "a@b\r\nBcc: c@d", "ö@b.c"]
)
def test_an_invalid_sender_is_an_error_at_start(server: MailServer, sender: str) -> None:
    with pytest.raises(ValidationError):
        server.settings(**{"from": sender})


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
