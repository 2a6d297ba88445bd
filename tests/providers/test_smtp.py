"""Test the email that an SMTP server gets, its addresses, and the settings."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from pydantic import ValidationError

from domain.email_options import EmailOptions
from domain.outgoing_messages import OutgoingMessage
from providers.outcomes import ProviderAcceptance, ProviderRefusal
from providers.smtp.adapter import Smtp
from providers.smtp.settings import SmtpSettings
from testing.vendors.smtp import NAME, SENDER, KeptMail, MailServer
from tests.outgoing_messages import ADA
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
