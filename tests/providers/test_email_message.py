"""Test the built email: unchanged headers, and the subject after transport. test_smtp.py tests what a server gets."""

from email import message_from_bytes, policy
from email.headerregistry import Address

import pytest

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


async def test_a_long_url_in_a_header_stays_whole() -> None:
    mail = build_email(to(), Address(NAME, addr_spec=SENDER), ADA)
    url = b"<https://shop.example/u/" + b"x" * 300 + b">"
    mail["List-Unsubscribe"] = url.decode()
    assert b"List-Unsubscribe: " + url + b"\r\n" in mail.as_bytes()
    assert mail.policy is ASCII_POLICY
