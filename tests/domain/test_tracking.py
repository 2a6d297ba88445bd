"""Test that only our own tokens of pixel and links are read, and only for their purpose."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.evidence import ReceiptKind
from domain.tracking import MAC, TOKEN_LIMIT, TraceSigner, TrackedAction, normalize_target

SIGNER = TraceSigner(b"the secret of the installation")
ATTEMPT = UUID("0192a1b2-0000-7000-8000-000000000001")
CLICK = TrackedAction(
    kind=ReceiptKind.CLICKED, attempt_id=ATTEMPT, provider="sendgrid", target="https://example.com/a?b=c#d"
)
OPENING = TrackedAction(kind=ReceiptKind.OPENED, attempt_id=ATTEMPT, provider="smtp")


@pytest.mark.parametrize("trace", [CLICK, OPENING])
def test_a_token_returns_its_input(trace: TrackedAction) -> None:
    token = SIGNER.token(trace)
    assert SIGNER.read(token, trace.kind) == trace
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_the_same_message_gets_the_same_token_again() -> None:
    assert SIGNER.token(CLICK) == TraceSigner(b"the secret of the installation").token(CLICK)


def test_an_opening_is_no_click_and_a_click_no_opening() -> None:
    assert SIGNER.read(SIGNER.token(OPENING), ReceiptKind.CLICKED) is None
    assert SIGNER.read(SIGNER.token(CLICK), ReceiptKind.OPENED) is None


def test_a_token_of_another_installation_is_nothing() -> None:
    assert TraceSigner(b"another secret").read(SIGNER.token(CLICK), ReceiptKind.CLICKED) is None


def test_no_bit_of_a_token_can_be_changed() -> None:
    signed = urlsafe_b64decode(SIGNER.token(CLICK) + "==")
    for bit in range(len(signed) * 8):
        forged = bytearray(signed)
        forged[bit // 8] ^= 1 << bit % 8
        assert SIGNER.read(urlsafe_b64encode(forged).decode().rstrip("="), ReceiptKind.CLICKED) is None


def test_one_value_has_one_spelling() -> None:
    """Base64 decoders skip unknown characters and ignore the last bits."""
    trace = next(t for t in (OPENING, CLICK) if len(SIGNER.token(t)) % 4)
    token = SIGNER.token(trace)
    others = [f"{token}=", f"{token[:9]}.{token[9:]}", f"{token[:9]}\n{token[9:]}", token.replace("_", "/") + "\u00e9"]
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others += [token[:-1] + letter for letter in last if letter != token[-1]]
    assert [SIGNER.read(other, trace.kind) for other in others] == [None] * len(others)


@pytest.mark.parametrize("token", ["", "A", "AAAA", "A" * 22, "A" * TOKEN_LIMIT, "A" * (TOKEN_LIMIT + 1), "☃", "a b"])
@pytest.mark.parametrize("kind", [ReceiptKind.OPENED, ReceiptKind.CLICKED])
def test_an_invalid_token_is_rejected(token: str, kind: ReceiptKind) -> None:
    assert SIGNER.read(token, kind) is None


def test_a_truncated_token_is_rejected() -> None:
    token = SIGNER.token(CLICK)
    assert [SIGNER.read(token[:length], ReceiptKind.CLICKED) for length in range(len(token))] == [None] * len(token)


def test_even_a_signed_token_leads_to_web_addresses_only() -> None:
    for target in ("javascript:alert(1)", "//example.com", "", "https://example.com/\r\nSet-Cookie: a=b"):
        trace = TrackedAction(kind=ReceiptKind.CLICKED, attempt_id=ATTEMPT, provider="smtp", target=target)
        assert SIGNER.read(SIGNER.token(trace), ReceiptKind.CLICKED) is None


def test_the_longest_target_fits_into_a_token() -> None:
    target = "https://example.com/" + "é" * 990
    assert normalize_target(target) == target
    assert normalize_target(target + "x") is None
    trace = TrackedAction(kind=ReceiptKind.CLICKED, attempt_id=ATTEMPT, provider="p" * 32, target=target)
    token = SIGNER.token(trace)
    assert len(token) <= TOKEN_LIMIT
    assert SIGNER.read(token, ReceiptKind.CLICKED) == trace


def test_the_signature_has_128_bits() -> None:
    assert MAC * 8 == 128


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTP://Example.com/A b", "HTTP://Example.com/A b"),
        (" \n https://exam\nple.com/\t1 ", "https://example.com/1"),
        ("https://example.com/ä?ö=ü", "https://example.com/ä?ö=ü"),
        ("https://user@example.com:8443/", "https://user@example.com:8443/"),
        ("https://[2001:db8::1]/", "https://[2001:db8::1]/"),
        ("https://exämple.com/", None),
        ("https://[2001:db8::1/", None),
        ("https:example.com", None),
        ("https:///example.com", None),
        ("https://example.com\\@evil.example", None),
        ("https://exam ple.com/", None),
        ("https://example.com/\x00", "https://example.com/"),
        ("https://example.com/\x00a", None),
        ("https://example.com/\u2028a", None),
        ("https://example.com/\ud800", None),
        ("//example.com/", None),
        ("/path", None),
        ("#top", None),
        ("", None),
        ("mailto:ada@example.com", None),
        ("tel:+4917012345678", None),
        ("javascript:alert(1)", None),
        ("ftp://example.com/", None),
        ("<%asm_group_unsubscribe_raw_url%>", None),
    ],
)
def test_a_target_is_an_unambiguous_web_address(written: str, read: str | None) -> None:
    assert normalize_target(written) == read


@given(st.text() | st.from_regex(r"https?://[a-z]+\.[a-z]+/.*"))
def test_every_signed_value_can_be_read(written: str) -> None:
    target = normalize_target(written)
    if target is not None:
        trace = TrackedAction(kind=ReceiptKind.CLICKED, attempt_id=uuid4(), provider="smtp", target=target)
        assert SIGNER.read(SIGNER.token(trace), ReceiptKind.CLICKED) == trace
