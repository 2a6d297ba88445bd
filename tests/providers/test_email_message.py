"""Test the built email: unchanged headers, and the subject after transport. test_smtp.py tests what a server gets."""

from dataclasses import replace
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.utils import parseaddr

import pytest

from domain.email_options import EmailAttachment, EmailOptions, Mailbox
from providers.email_message import ASCII_POLICY, build_email
from testing.vendors.smtp import NAME, SENDER
from tests.outgoing_messages import ADA
from tests.providers.harness_smtp import to


@pytest.mark.parametrize("unit", ["Grüße aus 東京 ", "ü", "x ü", "東京 ", "a, b; ü ", "🎉 ", "=?utf-8?q?=C3=BC?= ü "])
@pytest.mark.parametrize("times", [1, 7, 20, 61])
def test_a_subject_arrives_unchanged_in_words_of_at_most_75_characters(unit: str, times: int) -> None:
    """RFC 2047 sets the limit, also where other header lines may have 998."""
    subject = (unit * times).strip()
    raw = build_email(to(subject=subject), Address(NAME, addr_spec=SENDER), ADA).as_bytes()
    words = [word for word in raw.split() if word.startswith(b"=?")]
    assert max(map(len, words)) <= 75
    assert message_from_bytes(raw, policy=policy.default)["Subject"] == subject


HIDDEN_HEADER = "=?utf-8?q?a=0D=0ABcc:_eve=40example.com?="


@pytest.mark.parametrize("hidden", [HIDDEN_HEADER, HIDDEN_HEADER.replace("=0D", ""), f"{HIDDEN_HEADER} ü"])
def test_an_encoded_word_begins_no_header(hidden: str) -> None:
    """Python decodes these words where it parses a header."""
    options = EmailOptions(
        reply_to=Mailbox(email="help@mail.example", name=hidden),
        headers=dict.fromkeys(("X-Order", "In-Reply-To", "List-Id", "Thread-Topic"), HIDDEN_HEADER),
        attachments=(EmailAttachment(name=f"{hidden}.pdf", content_type="application/pdf", content=b"%PDF-"),),
    )
    raw = build_email(replace(to(), email=options), Address(hidden, addr_spec=SENDER), ADA).as_bytes()
    assert not any(line.startswith((b"Bcc", b"eve")) for line in raw.splitlines())
    parsed = message_from_bytes(raw, policy=policy.compat32)
    assert parseaddr(parsed["From"])[1] == SENDER
    assert parseaddr(parsed["Reply-To"])[1] == "help@mail.example"
    assert [part.get_filename() for part in parsed.walk() if part.get_filename()] == [f"{hidden}.pdf"]


def test_no_line_is_longer_than_a_server_accepts() -> None:
    copies = tuple(f"{'x' * 60}-{number}@mail.example" for number in range(20))
    raw = build_email(
        replace(to(), email=EmailOptions(cc=copies)), Address("ü" * 100, addr_spec=SENDER), ADA
    ).as_bytes()
    assert max(map(len, raw.splitlines())) <= 998
    assert [each.addr_spec for each in message_from_bytes(raw, policy=policy.default)["Cc"].addresses] == list(copies)


async def test_a_long_url_in_a_header_stays_whole() -> None:
    mail = build_email(to(), Address(NAME, addr_spec=SENDER), ADA)
    url = b"<https://shop.example/u/" + b"x" * 300 + b">"
    mail["List-Unsubscribe"] = url.decode()
    assert b"List-Unsubscribe: " + url + b"\r\n" in mail.as_bytes()
    assert mail.policy is ASCII_POLICY
