"""Test the signatures of Vonage, also with the example that the vendor publishes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from pydantic import SecretStr

from providers.base import ForgedReceipt
from providers.vonage.tokens import verify_callback
from testing.vendors.vonage import (
    SIGNATURE_SECRET,
    sign,
)
from tests.providers.harness_vonage import SAMPLES, VonageBench


@pytest.fixture
async def bench() -> AsyncIterator[VonageBench]:
    async with VonageBench.running() as bench:
        yield bench


# A published example of a signature: github.com/Vonage/vonage-python-sdk, jwt/tests/test_verify_jwt.py, Apache 2.0.
PUBLISHED_SECRET = "qwertyuiopasdfghjklzxcvbnm123456"
PUBLISHED_TOKEN = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJPbmxpbmUgSldUIEJ1aWxkZXIiLCJpYXQiOjE2OTc2MzQ2ODAsImV4cCI6MzMyNTQ1"
    "NDA4MjgsImF1ZCI6IiIsInN1YiI6IiJ9.88vJc3I2HhuqEDixHXVhc9R30tA6U_HQHZTC29y6CGM"
)


def test_the_published_signature_is_valid_but_signs_no_body() -> None:
    with pytest.raises(ForgedReceipt, match="MissingRequiredClaimError"):
        verify_callback(f"Bearer {PUBLISHED_TOKEN}", b"", PUBLISHED_SECRET)
    with pytest.raises(ForgedReceipt, match="InvalidSignatureError"):
        verify_callback(f"Bearer {PUBLISHED_TOKEN}", b"", PUBLISHED_SECRET[::-1])


async def test_without_a_signature_secret_no_callback_is_accepted(bench: VonageBench) -> None:
    provider = bench.adapter(webhook_secret=SecretStr(""))
    body = (SAMPLES / "delivered.json").read_bytes()
    with pytest.raises(ForgedReceipt, match="TOCSIN_VONAGE_WEBHOOK_SECRET is not set"):
        provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)


@pytest.mark.parametrize(
    "changed",
    [{"iat": None}, {"iat": "soon"}, {"payload_hash": None}, {"payload_hash": "0" * 64}, {"exp": 1_700_000_000}],
    ids=str,
)
async def test_a_token_with_wrong_claims_is_forged(bench: VonageBench, changed: dict[str, Any]) -> None:
    body = (SAMPLES / "delivered.json").read_bytes()
    genuine = bench.signed(body, datetime.now(UTC))["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(genuine, SIGNATURE_SECRET, algorithms=["HS256"]) | changed
    claims = {name: value for name, value in claims.items() if value is not None}
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts({"authorization": f"Bearer {sign(SIGNATURE_SECRET, claims)}"}, body)


@pytest.mark.parametrize(
    ("age", "problem_text"),
    [(timedelta(hours=25), "older than a day"), (-timedelta(minutes=6), "ImmatureSignatureError")],
)
async def test_a_token_of_another_time_is_forged(bench: VonageBench, age: timedelta, problem_text: str) -> None:
    body = (SAMPLES / "delivered.json").read_bytes()
    with pytest.raises(ForgedReceipt, match=problem_text):
        bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC) - age), body)


@pytest.mark.parametrize("age", [timedelta(hours=23), -timedelta(minutes=4)])
async def test_a_callback_may_be_repeated_for_a_day(bench: VonageBench, age: timedelta) -> None:
    body = (SAMPLES / "delivered.json").read_bytes()
    assert bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC) - age), body)


@pytest.mark.parametrize("algorithm", ["none", "HS512", "RS256"])
async def test_a_token_of_another_algorithm_is_forged(bench: VonageBench, algorithm: str) -> None:
    body = (SAMPLES / "delivered.json").read_bytes()
    genuine = bench.signed(body, datetime.now(UTC))["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(genuine, SIGNATURE_SECRET, algorithms=["HS256"])
    token = sign(SIGNATURE_SECRET, claims, algorithm)
    with pytest.raises(ForgedReceipt, match="InvalidAlgorithmError"):
        bench.provider.parse_receipts({"authorization": f"Bearer {token}"}, body)
