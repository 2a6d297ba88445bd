"""Test Vonage: the request, the result of each response, and the check."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from pydantic import SecretStr

from config.sources import InvalidSettings
from providers.outcomes import (
    PermanentError,
    ProviderError,
    ProviderRefusal,
    TemporaryError,
    UnknownOutcome,
)
from providers.vonage.settings import VonageSettings
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.vonage import (
    API_KEY,
    API_SECRET,
    APPLICATION,
    FROM,
    application_key,
    private_pem,
    problem,
)
from tests.providers.harness_vonage import CALLBACK, VonageBench, VonageHarness, sample
from tests.providers.published_schemas import schema_problems


@pytest.fixture
async def bench() -> AsyncIterator[VonageBench]:
    async with VonageBench.running() as bench:
        yield bench


async def test_the_request_has_the_published_form(bench: VonageBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    await bench.provider.send(message)
    [request] = bench.vendor.log.requests
    assert schema_problems("vonage/messages", "OutboundSMSText", request.json) == []
    assert request.json == {
        "message_type": "text",
        "channel": "sms",
        "to": message.address["phone"].removeprefix("+"),
        "from": FROM,
        "text": "Grüße & more",
        "client_ref": str(message.attempt_id),
        "sms": {"encoding_type": "auto"},
        "webhook_url": CALLBACK,
        "webhook_version": "v1",
    }


async def test_an_application_signs_a_new_token_for_each_request(bench: VonageBench) -> None:
    for _ in range(2):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    tokens = [request.headers["authorization"].removeprefix("Bearer ") for request in bench.vendor.log.requests]
    claims = [jwt.decode(token, application_key().public_key(), algorithms=["RS256"]) for token in tokens]
    assert {each["application_id"] for each in claims} == {APPLICATION}
    assert [each["exp"] - each["iat"] for each in claims] == [300, 300]
    assert len({each["jti"] for each in claims}) == 2


async def test_a_token_of_another_key_is_refused(bench: VonageBench) -> None:
    provider = bench.adapter(private_key=SecretStr(private_pem(application_key("another"))))
    with pytest.raises(PermanentError, match=r"^credentials_refused$"):
        await provider.send(bench.message_in_mode(VendorMode.GOOD))


async def test_an_account_without_an_application_sends_with_its_key_and_secret(bench: VonageBench) -> None:
    provider = bench.adapter(application_id="", private_key=SecretStr(""))
    await provider.send(bench.message_in_mode(VendorMode.GOOD))
    [request] = bench.vendor.log.requests
    assert request.headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize(("left", "least", "most"), [(3_600, 3_000, 3_600), (-5, 20, 20), (999_999, 604_800, 604_800)])
async def test_vonage_tries_to_deliver_until_the_message_expires(
    bench: VonageBench, left: int, least: int, most: int
) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=left)
    await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), expires_at=expires_at))
    [request] = bench.vendor.log.requests
    assert schema_problems("vonage/messages", "OutboundSMSText", request.json) == []
    assert least <= request.json["ttl"] <= most


def reply_with(status: int, kind: str, title: str = "") -> Reply:
    return Reply(status=status, body=problem(kind, title, "to +447700900123"), headers={"Retry-After": "9"})


RESPONSES: list[tuple[Reply, type[ProviderError], str]] = [
    (reply_with(401, "#unauthorized"), PermanentError, "credentials_refused"),
    (reply_with(401, "#unprovisioned"), PermanentError, "feature_not_enabled"),
    (reply_with(403, "#account-suspended"), PermanentError, "account_suspended"),
    (reply_with(402, "#low-balance"), PermanentError, "quota_exceeded"),
    (Reply(status=402, body=sample("low_balance")), PermanentError, "quota_exceeded"),
    (reply_with(404, "#not-found"), PermanentError, "unexpected_answer"),
    (reply_with(422, "messages#1420", "Invalid sender"), PermanentError, "sender_refused"),
    (reply_with(422, "messages#1140", "Facility not allowed"), PermanentError, "feature_not_enabled"),
    (reply_with(422, "messages#1474"), PermanentError, "blocked_by_fraud_rule"),
    (reply_with(422, "messages#9999"), PermanentError, "unexpected_answer"),
    (reply_with(422, "messages#1100", "Communication Failed"), TemporaryError, "technical_failure"),
    (reply_with(429, "messages#1000"), TemporaryError, "throttled"),
    (reply_with(429, "#rate-limit"), TemporaryError, "throttled"),
    (reply_with(500, "messages#1430", "Invalid recipient"), UnknownOutcome, "server_error"),
    # A success that is an error: as a problem, and as the older SMS API reports it.
    (reply_with(202, "messages#1430", "Invalid recipient"), UnknownOutcome, "undocumented_success"),
    (
        Reply(status=200, body={"message-count": "1", "messages": [{"status": "4", "error-text": "Bad Credentials"}]}),
        UnknownOutcome,
        "undocumented_success",
    ),
]


@pytest.mark.parametrize(("reply", "error", "reason"), RESPONSES, ids=str)
async def test_an_error_has_the_outcome_that_it_proves(
    bench: VonageBench, reply: Reply, error: type[ProviderError], reason: str
) -> None:
    bench.vendor.reply = reply
    with pytest.raises(ProviderError) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert (type(caught.value), caught.value.reason) == (error, reason)
    assert caught.value.retry_after == (9.0 if error is TemporaryError or reason == "server_error" else None)
    assert "4477" not in str(caught.value.response)


REFUSALS = [
    ("messages#1430", "Invalid recipient", "invalid_address"),
    ("messages#1020", "Invalid params", "bad_request"),
    ("messages#1240", "Illegal Number", "opted_out"),
    # Published examples, whose codes mean an unknown TTL and a missing feature in the list of codes.
    ("messages#1130", "Invalid recipient", "invalid_address"),
    ("messages#1140", "Invalid message type", "bad_request"),
]


@pytest.mark.parametrize(("kind", "title", "reason"), REFUSALS)
async def test_a_refused_message_has_the_reason_of_its_title_or_code(
    bench: VonageBench, kind: str, title: str, reason: str
) -> None:
    bench.vendor.reply = reply_with(422, kind, title)
    refusal = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    evidence = {"status": 422, "code": kind.partition("#")[2]}
    assert refusal == ProviderRefusal(reason=reason, response=evidence)


def test_the_responses_of_the_fake_have_the_published_form(bench: VonageBench) -> None:
    assert schema_problems("vonage/messages", "MessageAcceptedResponse", VonageHarness.success.body) == []
    for mode in (VendorMode.REFUSES, VendorMode.THROTTLES, VendorMode.BREAKS):
        assert schema_problems("vonage/messages", "ErrorResponse", bench.vendor.refusal(mode).body) == []


@pytest.mark.parametrize(
    ("given", "problem_text"),
    [
        ({"application_id": APPLICATION}, "set both TOCSIN_VONAGE_APPLICATION_ID and TOCSIN_VONAGE_PRIVATE_KEY"),
        ({"private_key": "secret text"}, "TOCSIN_VONAGE_PRIVATE_KEY: not an RSA key in PEM format"),
    ],
)
def test_a_wrong_application_is_named_without_its_key(given: dict[str, str], problem_text: str) -> None:
    with pytest.raises(InvalidSettings, match=problem_text) as caught:
        VonageSettings.read(api_key=API_KEY, api_secret=API_SECRET, sender=FROM, **given)
    assert "secret text" not in str(caught.value)


async def test_the_check_returns_the_balance(bench: VonageBench) -> None:
    assert await bench.provider.check() == "the key and the secret are valid, and the balance is 29.18 EUR"
    bench.vendor.lookup_override = Reply(status=200, body={"error-code": "401"})
    with pytest.raises(TemporaryError, match=r"^malformed_response$"):
        await bench.provider.check()
