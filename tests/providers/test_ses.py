"""Test SES: the request, the result of each error, the check and the settings."""

import base64
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from botocore import session as botocore_session
from botocore.validate import ParamValidator

from config.sources import InvalidSettings
from domain.email_options import EmailOptions
from providers.email_fields import recipient_digest
from providers.outcomes import PermanentError, ProviderError, ProviderRefusal, TemporaryError
from providers.ses.receipts import COPY_DIGEST, REFERENCE
from providers.ses.settings import SesSettings
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.ses import error_reply
from tests.providers.harness_ses import SesBench
from tests.providers.test_email_options import OPTIONS


@pytest.fixture
async def bench() -> AsyncIterator[SesBench]:
    async with SesBench.running() as bench:
        yield bench


async def sent(bench: SesBench, **changes: Any) -> Any:
    """Send a message and return its request as JSON."""
    await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), **changes))
    return bench.vendor.log.requests[-1].json


@pytest.mark.parametrize("options", [EmailOptions(), OPTIONS])
async def test_a_request_satisfies_the_service_model_of_the_vendor(bench: SesBench, options: EmailOptions) -> None:
    request = await sent(bench, email=options, tags=("orders", "not valid", "x" * 257))
    shape = botocore_session.get_session().get_service_model("sesv2").operation_model("SendEmail").input_shape
    blob = base64.b64decode(request["Content"]["Raw"]["Data"], validate=True)
    report = ParamValidator().validate(request | {"Content": {"Raw": {"Data": blob}}}, shape)
    assert report.generate_report() == ""
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,256}", value) for tag in request["EmailTags"] for value in tag.values())


async def test_events_get_the_attempt_and_the_valid_tags(bench: SesBench) -> None:
    message = replace(bench.message_in_mode(VendorMode.GOOD), tags=("orders", "not valid", REFERENCE))
    await bench.provider.send(message)
    tags = {tag["Name"]: tag["Value"] for tag in bench.vendor.log.requests[-1].json["EmailTags"]}
    assert tags == {"orders": "true", REFERENCE: str(message.attempt_id)}


async def test_an_email_with_copies_has_a_digest_of_its_recipient(bench: SesBench) -> None:
    message = replace(bench.message_in_mode(VendorMode.GOOD), email=OPTIONS)
    await bench.provider.send(message)
    request = bench.vendor.log.requests[-1].json
    tags = {tag["Name"]: tag["Value"] for tag in request["EmailTags"]}
    assert tags[COPY_DIGEST] == recipient_digest(message.attempt_id, message.address["email"])
    assert request["Destination"]["CcAddresses"] == list(OPTIONS.cc)
    assert request["Destination"]["BccAddresses"] == list(OPTIONS.bcc)


@pytest.mark.parametrize(("tracking", "word"), [(False, "DISABLED"), (True, None)])
async def test_tracking_is_disabled_unless_the_type_allows_it(
    bench: SesBench, tracking: bool, word: str | None
) -> None:
    overrides = (await sent(bench, vendor_tracking=tracking)).get("ConfigurationOverrides", {}).get("Tracking", {})
    assert {overrides.get("OpenTrackingEnabled"), overrides.get("ClickTrackingEnabled")} == {word}


async def test_the_configuration_set_is_sent_only_if_it_is_set(bench: SesBench) -> None:
    assert (await sent(bench))["ConfigurationSetName"] == "tocsin"
    bench.provider = bench.adapter(configuration_set="")
    assert "ConfigurationSetName" not in await sent(bench)


async def test_a_header_of_a_message_cannot_instruct_the_vendor(bench: SesBench) -> None:
    headers = {"X-SES-SOURCE-ARN": "arn:aws:ses:eu-west-1:1:identity/other.example", "X-Order": "4711"}
    await sent(bench, email=EmailOptions(headers=headers))
    assert "x-ses-source-arn" not in bench.email().headers
    assert bench.email().headers["x-order"] == "4711"


async def test_an_international_domain_is_sent_in_its_ascii_form(bench: SesBench) -> None:
    address = {"email": "ada+good@grüße.example", "email_ascii": "ada+good@xn--gre-6ka8i.example"}
    request = await sent(bench, address=address)
    assert request["Destination"]["ToAddresses"] == [address["email_ascii"]]


P, T, R = PermanentError, TemporaryError, ProviderRefusal
UNVERIFIED = "Email address is not verified. The following identities failed the check in region EU-WEST-1: "
# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors
ERRORS: list[tuple[int, str, str, type, str]] = [
    (400, "AccountSuspendedException", "", P, "account_suspended"),
    (400, "SendingPausedException", "Sending is paused", P, "account_suspended"),
    (400, "MailFromDomainNotVerifiedException", "", P, "sender_not_registered"),
    (400, "LimitExceededException", "", P, "quota_exceeded"),
    (404, "NotFoundException", "Configuration set <x> does not exist.", P, "server_unsuitable"),
    (400, "MessageRejected", "Invalid content", R, "content_refused"),
    (400, "MessageRejected", f"{UNVERIFIED}shop@example.com", P, "sender_not_registered"),
    (400, "MessageRejected", f"{UNVERIFIED}ada+good@example.com", P, "unverified_recipient"),
    (400, "BadRequestException", "Illegal address", R, "bad_request"),
    (429, "TooManyRequestsException", "Maximum sending rate exceeded.", T, "throttled"),
    (429, "TooManyRequestsException", "Daily message quota exceeded.", P, "quota_exceeded"),
    (400, "ThrottlingException", "Rate exceeded", T, "throttled"),
    (400, "Throttling", "Maximum sending rate exceeded.", T, "throttled"),
    (403, "InvalidClientTokenId", "", P, "credentials_refused"),
    (403, "SignatureDoesNotMatch", "", P, "credentials_refused"),
    (400, "IncompleteSignature", "", P, "credentials_refused"),
    (400, "RequestExpired", "", P, "credentials_refused"),
    (400, "SomethingNew", "", P, "unexpected_answer"),
]


@pytest.mark.parametrize(("status", "code", "text", "outcome", "reason"), ERRORS)
async def test_every_documented_error_has_its_outcome(
    bench: SesBench, status: int, code: str, text: str, outcome: type, reason: str
) -> None:
    bench.vendor.reply = error_reply(status, code, text)
    try:
        result: Any = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    except ProviderError as error:
        result = error
    assert (type(result), result.reason) == (outcome, reason)
    assert "@" not in json.dumps(result.response)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=400, headers={"x-amzn-errortype": "SendingPausedException:http://internal.amazon.com/coral/"}),
        Reply(status=400, body={"__type": "com.amazonaws.sesv2#SendingPausedException"}),
        Reply(status=400, body={"code": "SendingPausedException", "message": "paused"}),
    ],
)
async def test_the_code_of_an_error_is_found_in_every_documented_place(bench: SesBench, reply: Reply) -> None:
    bench.vendor.reply = reply
    with pytest.raises(PermanentError, match=r"^account_suspended$"):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"x-amz-retry-after": "1500"}, 1.5), ({"Retry-After": "7"}, 7.0), ({}, None)]
)
async def test_a_throttled_call_states_the_delay_of_the_vendor(
    bench: SesBench, headers: dict[str, str], seconds: float | None
) -> None:
    bench.vendor.reply = Reply(status=429, headers={"x-amzn-errortype": "TooManyRequestsException", **headers})
    with pytest.raises(TemporaryError) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("account", [{"SendingEnabled": False}, {"EnforcementStatus": "SHUTDOWN"}])
async def test_a_check_reports_a_suspended_account(bench: SesBench, account: dict[str, Any]) -> None:
    bench.vendor.account |= account
    with pytest.raises(PermanentError, match=r"^account_suspended$"):
        await bench.provider.check()


async def test_a_check_reports_an_account_with_limited_recipients(bench: SesBench) -> None:
    assert "verified" not in await bench.provider.check()
    bench.vendor.account["ProductionAccessEnabled"] = False
    assert "verified addresses only" in await bench.provider.check()


@pytest.mark.parametrize(
    ("region", "api", "sns"),
    [
        ("eu-west-1", "https://email.eu-west-1.amazonaws.com", "https://sns.eu-west-1.amazonaws.com"),
        ("us-gov-west-1", "https://email.us-gov-west-1.amazonaws.com", "https://sns.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "https://email.cn-north-1.amazonaws.com.cn", "https://sns.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_addresses_are_those_of_the_region(region: str, api: str, sns: str) -> None:
    settings = SesSettings(region=region, sender="shop@example.com")
    assert (settings.api_url, settings.sns_origin) == (api, sns)
    assert botocore_session.get_session().create_client("sesv2", region_name=region).meta.endpoint_url == api


@pytest.mark.parametrize("fields", [{"region": "eu-west-1.evil.example"}, {"access_key_id": "AKID"}])
def test_wrong_settings_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match="TOCSIN_SES_"):
        SesSettings.read(**{"region": "eu-west-1", "sender": "shop@example.com", **fields})
