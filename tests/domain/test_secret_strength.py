"""Test that weak secrets are refused, and generated ones are not."""

import random

import pytest

from domain.secret_strength import find_weakness

WEAK = [
    "",
    "secret",
    "change-me",
    "hunter2",
    "correct horse battery staple",
    "7Kq0vB9xT2mLr7wJd5ZpNf8Hc1GsUa4",  # 31 bytes
    "a" * 32,
    "0" * 64,
    "ab" * 20,
    "abcd1234" * 4,
    "deadbeef" * 8,
    "0123456789abcdef" * 2,
    "abcdefghijklmnopqrstuvwxyz012345",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "zyxwvutsrqponmlkjihgfedcba9876543210",
    "12345678901234567890123456789012",
    "qwertyuiopasdfghjklzxcvbnm1234567890",
    "aabbccddeeffgghhiijjkkllmmnnoopp",
    "x" * 40 + "kQ9vT2mL",
    "password1password2password3password4",
    "my-production-secret-key-for-notifications",
    "please-change-this-value-before-production",
    "REPLACE_WITH_32_RANDOM_BYTES_FROM_OPENSSL",
    "example-signing-key-of-the-documentation",
    "tocsin-tocsin-tocsin-tocsin-tocsin-tocsin",
]


def test_there_are_25_weak_examples() -> None:
    assert len(set(WEAK)) == 25


@pytest.mark.parametrize("secret", WEAK)
def test_a_weak_secret_is_found_and_not_quoted(secret: str) -> None:
    found = find_weakness(secret)
    assert found
    assert len(secret) < 7 or secret not in found


@pytest.mark.parametrize(
    "alphabet", ["0123456789", "0123456789abcdef", "abcdefghijklmnopqrstuvwxyz", "AZaz09-_+/=.kQvT"]
)
def test_random_secrets_are_strong(alphabet: str) -> None:
    rand = random.Random(5)
    assert [find_weakness("".join(rand.choices(alphabet, k=40))) for _ in range(500)] == [None] * 500
