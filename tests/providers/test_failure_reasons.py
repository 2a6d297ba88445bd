"""Test every documented reason of every vendor: its code, category, suppression, and effect on the circuit."""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from domain.evidence import ReceiptKind
from domain.failure_reasons import REASONS, ReasonCategory, counts_for_circuit
from domain.reasons import VOCABULARY
from domain.suppressions import (
    REASON_BY_BOUNCE_CODE,
    REASON_BY_REFUSAL_CODE,
    SuppressionReason,
    finding_from_receipt,
    finding_from_refusal,
)
from providers.apns import reasons as apns_reasons
from providers.mailgun import reasons as mailgun_reasons
from providers.registry import PROVIDERS
from providers.sendgrid import reasons as sendgrid_reasons
from providers.ses import reasons as ses_reasons
from providers.smtp import reasons as smtp_reasons
from providers.smtp.reasons import find_retry_reason
from providers.twilio import reasons as twilio_reasons
from providers.vonage import reasons as vonage_reasons
from services.provider_calls import send_once as send
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.code.tree import ROOT
from tests.providers.harness_fcm import FcmBench

R, C, A, U = ReasonCategory
BOUNCED, OPTED_OUT, COMPLAINED = SuppressionReason.BOUNCED, SuppressionReason.OPTED_OUT, SuppressionReason.COMPLAINED
Expected = tuple[str, ReasonCategory, SuppressionReason | None, bool]

# Reasons of `dropped`, as documented: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
DROPPED: dict[str, Expected] = {
    "Invalid SMTPAPI header": ("bad_request", C, None, False),
    "Spam Content (if Spam Checker app is enabled)": ("content_blocked", C, None, False),
    "Spam Content": ("content_blocked", C, None, False),
    "Unsubscribed Address": ("unsubscribed", R, OPTED_OUT, False),
    "Bounced Address": ("bounced_before", R, BOUNCED, False),
    "Spam Reporting Address": ("complained_before", R, COMPLAINED, False),
    "Invalid": ("invalid_address", R, BOUNCED, False),
    "Recipient List over Package Quota": ("quota_exceeded", A, None, True),
}
CLASSIFIED: dict[str, Expected] = {
    "Invalid Address": ("invalid_address", R, BOUNCED, False),
    "Mailbox Unavailable": ("mailbox_unavailable", R, None, False),
    "Technical Failure": ("technical_failure", U, None, False),
    "Content": ("content_blocked", C, None, False),
    "Reputation": ("reputation_blocked", A, None, False),
    "Frequency or Volume Too High": ("too_many_messages", A, None, False),
}
# Causes of `failed`: https://github.com/mailgun/documentation/blob/master/source/api-stats.rst
MAILGUN: dict[str, Expected] = {
    "suppress-bounce": ("bounced_before", R, BOUNCED, False),
    "suppress-complaint": ("complained_before", R, COMPLAINED, False),
    "suppress-unsubscribe": ("unsubscribed", R, OPTED_OUT, False),
    "old": ("validity_expired", U, None, False),
    "espblock": ("reputation_blocked", A, None, False),
}
MAILGUN_ERRORS: dict[str, Expected] = {
    "authorized recipients": ("unverified_recipient", A, None, False),
    "not allowed to send": ("account_suspended", A, None, True),
    "activate your mailgun account": ("account_suspended", A, None, True),
    "from parameter": ("sender_refused", A, None, True),
    "to parameter is not a valid address": ("invalid_address", R, BOUNCED, False),
    "need at least one of text": ("empty_message", C, None, False),
    "send options": ("bad_request", C, None, False),
}
TWILIO: dict[int, Expected] = {
    30001: ("queue_full", U, None, False),
    30002: ("account_suspended", A, None, True),
    30003: ("unreachable", U, None, False),
    30004: ("blocked", R, None, False),
    30005: ("unknown_number", R, BOUNCED, False),
    30006: ("landline", R, None, False),
    30007: ("content_blocked", C, None, False),
    30008: ("unknown_error", U, None, False),
    30009: ("technical_failure", U, None, False),
    30010: ("price_limit_exceeded", A, None, False),
    30017: ("technical_failure", U, None, False),
    30018: ("sender_not_registered", A, None, True),
    30019: ("too_large", C, None, False),
    30022: ("too_many_messages", A, None, False),
    30023: ("quota_exceeded", A, None, True),
    30024: ("sender_not_registered", A, None, True),
    30027: ("quota_exceeded", A, None, True),
    30032: ("sender_not_registered", A, None, True),
    30034: ("sender_not_registered", A, None, True),
    30035: ("sender_not_registered", A, None, True),
    30036: ("validity_expired", U, None, False),
    30038: ("content_blocked", C, None, False),
    30410: ("technical_failure", U, None, False),
    30500: ("technical_failure", U, None, False),
    31999: ("unknown_error", U, None, False),
}
# Errors of a request: nothing was sent, so only an opt-out suppresses.
REQUESTS: dict[int, Expected] = {
    20003: ("credentials_refused", A, None, True),
    20404: ("account_not_found", A, None, True),
    20429: ("throttled", U, None, False),
    21211: ("invalid_address", R, None, False),
    21212: ("sender_refused", A, None, True),
    21214: ("unreachable", U, None, False),
    21217: ("invalid_address", R, None, False),
    21265: ("invalid_address", R, None, False),
    21266: ("invalid_address", R, None, False),
    21267: ("sender_refused", A, None, True),
    21268: ("invalid_address", R, None, False),
    21408: ("region_not_enabled", A, None, False),
    21602: ("empty_message", C, None, False),
    21603: ("sender_refused", A, None, True),
    21606: ("sender_refused", A, None, True),
    21608: ("unverified_recipient", A, None, False),
    21609: ("callback_url_refused", A, None, True),
    21610: ("opted_out", R, OPTED_OUT, False),
    21611: ("queue_full", U, None, False),
    21612: ("unreachable", U, None, False),
    21614: ("not_a_mobile_number", R, None, False),
    21617: ("too_long", C, None, False),
    21619: ("empty_message", C, None, False),
    21635: ("landline", R, None, False),
    21659: ("sender_refused", A, None, True),
    21660: ("sender_refused", A, None, True),
    21661: ("sender_refused", A, None, True),
    21703: ("messaging_service_empty", A, None, True),
    21704: ("messaging_service_empty", A, None, True),
}
# Meaning: the codes of Vonage, https://developer.vonage.com/en/api-errors/messages
VONAGE_CODES: dict[Expected, str] = {
    ("invalid_address", R, BOUNCED, False): "1170 1430",
    ("unknown_number", R, BOUNCED, False): "1190",
    ("opted_out", R, OPTED_OUT, False): "1240",
    ("blocked", R, None, False): "1050 1280",
    ("refused_recipient", R, None, False): "1290 1300 1310 1483",
    ("bad_request", C, None, False): "1010 1020 1040 1130 1150 1320 1400 1410 1440 1450",
    ("content_blocked", C, None, False): "1210 1270 1282",
    ("content_refused", C, None, False): "1482",
    ("too_long", C, None, False): "1090",
    ("account_suspended", A, None, True): "1060",
    ("quota_exceeded", A, None, True): "1070",
    ("feature_not_enabled", A, None, True): "1080 1140",
    ("sender_refused", A, None, True): "1120 1420 1476",
    ("sender_not_registered", A, None, True): "1480 1481 1484",
    ("unverified_recipient", A, None, False): "1160",
    ("region_not_enabled", A, None, False): "1251",
    ("too_many_messages", A, None, False): "1241 1460",
    ("blocked_by_fraud_rule", A, None, False): "1470 1472 1473 1474 1475 2001",
    ("throttled", U, None, False): "1000",
    ("technical_failure", U, None, False): "1030 1100 1200 1230 1331",
    ("unreachable", U, None, False): "1180 1220 1250 1260",
    ("validity_expired", U, None, False): "1360",
    ("unknown_error", U, None, False): "1330",
}
VONAGE: dict[str, Expected] = {code: means for means, some in VONAGE_CODES.items() for code in some.split()}
# Meaning: its enhanced status codes, without their class.
STATUSES: dict[Expected, str] = {
    ("invalid_address", R, BOUNCED, False): "1.1 1.2 1.3 1.4 1.6 1.9 1.10",
    ("refused_recipient", R, None, False): "1.0 5.0",
    ("mailbox_unavailable", R, None, False): "2.0 2.4",
    ("mailbox_disabled", R, None, False): "2.1 7.17 7.18",
    ("mailbox_full", R, None, False): "2.2",
    ("international_address_not_supported", R, None, False): "6.7 6.8 6.9 6.10",
    ("refused_by_policy", R, None, False): "7.0 7.1 7.2",
    ("too_large", C, None, False): "2.3 3.4",
    ("bad_request", C, None, False): "3.6",
    ("content_refused", C, None, False): (
        "6.0 6.1 6.2 6.3 6.4 6.5 6.6 7.3 7.4 7.5 7.6 7.7 7.15 7.16 7.19 7.20 7.21 7.22"
    ),
    ("sender_refused", A, None, True): "1.7 1.8 7.23 7.24 7.26 7.27 7.29",
    ("credentials_refused", A, None, True): "7.8 7.9 7.12",
    ("server_unsuitable", A, None, True): "7.10 7.11 7.14 7.30",
    ("account_suspended", A, None, True): "7.13",
    ("reputation_blocked", A, None, False): "7.25",
    ("too_many_messages", A, None, False): "7.28",
    ("validity_expired", U, None, False): "4.7",
    ("technical_failure", U, None, False): ("3.0 3.1 3.2 3.3 3.5 4.0 4.1 4.2 4.3 4.4 4.5 4.6 5.1 5.2 5.3 5.4 5.5 5.6"),
}
SMTP: dict[str, Expected] = {status: means for means, some in STATUSES.items() for status in some.split()}
# Types and subtypes of bounces, and the status of the reply:
# https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
SES: dict[tuple[str, str, str], Expected] = {
    ("Permanent", "General", "5.1.1"): ("invalid_address", R, BOUNCED, False),
    ("Permanent", "General", "None"): ("invalid_address", R, BOUNCED, False),
    ("Permanent", "General", "5.7.1"): ("refused_by_policy", R, None, False),
    ("Permanent", "NoEmail", "5.1.1"): ("invalid_address", R, BOUNCED, False),
    ("Permanent", "Suppressed", "5.1.1"): ("bounced_before", R, BOUNCED, False),
    ("Permanent", "OnAccountSuppressionList", "5.1.1"): ("bounced_before", R, BOUNCED, False),
    ("Permanent", "SomethingNew", "None"): ("unknown_error", U, None, False),
    ("Transient", "General", "None"): ("unknown_error", U, None, False),
    ("Transient", "General", "4.4.1"): ("technical_failure", U, None, False),
    ("Transient", "General", "5.1.1"): ("refused_recipient", R, None, False),
    ("Transient", "MailboxFull", "5.2.2"): ("mailbox_full", R, None, False),
    ("Transient", "MessageTooLarge", "5.3.4"): ("too_large", C, None, False),
    ("Transient", "CustomTimeoutExceeded", "4.4.7"): ("validity_expired", U, None, False),
    ("Transient", "ContentRejected", "5.7.1"): ("content_blocked", C, None, False),
    ("Transient", "AttachmentRejected", "5.7.1"): ("content_blocked", C, None, False),
    ("Undetermined", "Undetermined", "None"): ("unknown_error", U, None, False),
    ("Undetermined", "Undetermined", "5.1.1"): ("refused_recipient", R, None, False),
}
# https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
APNS: dict[str, Expected] = {
    **dict.fromkeys(("BadCollapseId", "BadExpirationDate", "BadMessageId"), ("bad_request", C, None, False)),
    **dict.fromkeys(("BadPriority", "DuplicateHeaders", "InvalidPushType"), ("bad_request", C, None, False)),
    "PayloadEmpty": ("bad_request", C, None, False),
    "PayloadTooLarge": ("too_large", C, None, False),
    **dict.fromkeys(("BadDeviceToken", "MissingDeviceToken"), ("invalid_token", R, None, False)),
    **dict.fromkeys(("Unregistered", "ExpiredToken"), ("unregistered", R, None, False)),
    **dict.fromkeys(("BadTopic", "MissingTopic", "TopicDisallowed"), ("sender_refused", A, None, True)),
    "DeviceTokenNotForTopic": ("sender_mismatch", R, None, False),
    **dict.fromkeys(("BadCertificate", "BadCertificateEnvironment"), ("credentials_refused", A, None, True)),
    **dict.fromkeys(("BadEnvironmentKeyIdInToken", "UnrelatedKeyIdInToken"), ("credentials_refused", A, None, True)),
    **dict.fromkeys(("InvalidProviderToken", "MissingProviderToken"), ("credentials_refused", A, None, True)),
    "Forbidden": ("credentials_refused", A, None, True),
    **dict.fromkeys(("BadPath", "MethodNotAllowed"), ("unexpected_answer", A, None, True)),
    "ExpiredProviderToken": ("token_expired", U, None, True),
    "TooManyProviderTokenUpdates": ("throttled", U, None, False),
    "TooManyRequests": ("device_throttled", U, None, False),
    **dict.fromkeys(("IdleTimeout", "ServiceUnavailable", "Shutdown"), ("unavailable", U, None, True)),
}
# https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode, with the status of each
FCM: dict[tuple[str, int], Expected] = {
    ("UNREGISTERED", 404): ("unregistered", R, None, False),
    ("SENDER_ID_MISMATCH", 403): ("sender_mismatch", R, None, False),
    ("THIRD_PARTY_AUTH_ERROR", 401): ("apple_or_web_credentials_refused", A, None, False),
    ("QUOTA_EXCEEDED", 429): ("throttled", U, None, False),
    ("UNAVAILABLE", 503): ("unavailable", U, None, True),
    ("INVALID_ARGUMENT", 400): ("bad_request", C, None, False),
    ("UNSPECIFIED_ERROR", 400): ("bad_request", C, None, False),
    ("INTERNAL", 500): ("server_error", U, None, True),
}


def meaning(code: str | None, *, refused: bool = False) -> Expected:
    """Return the engine's interpretation of the code of a receipt, or of a call that is `refused` for it."""
    assert code is not None
    found = finding_from_refusal(code) if refused else finding_from_receipt(ReceiptKind.FAILED, code)
    return code, REASONS[code].category, found.reason if found else None, counts_for_circuit(code)


def event(**fields: Any) -> dict[str, Any]:
    return {"event": "bounce", "reason": "550 ada@example.com: no", **fields}


@pytest.mark.parametrize("reason", DROPPED)
def test_every_dropped_event_of_sendgrid_has_its_meaning(reason: str) -> None:
    assert meaning(sendgrid_reasons.reason_of(event(event="dropped", reason=reason))) == DROPPED[reason]


@pytest.mark.parametrize("cause", MAILGUN)
def test_every_cause_of_mailgun_has_its_meaning(cause: str) -> None:
    failed = {"event": "failed", "reason": cause, "delivery-status": {"enhanced-code": "5.2.2"}}
    assert meaning(mailgun_reasons.receipt_reason(failed)) == MAILGUN[cause]


@pytest.mark.parametrize("text", MAILGUN_ERRORS)
def test_every_error_of_mailgun_has_its_meaning(text: str) -> None:
    assert meaning(mailgun_reasons.error_reason(f"Sorry: {text}.")) == MAILGUN_ERRORS[text]


@pytest.mark.parametrize("word", CLASSIFIED)
def test_every_bounce_classification_of_sendgrid_has_its_meaning(word: str) -> None:
    found = sendgrid_reasons.reason_of(event(bounce_classification=word, status="5.2.2"))
    assert meaning(found) == CLASSIFIED[word]


@pytest.mark.parametrize("status", SMTP)
def test_an_unclassified_bounce_has_the_meaning_of_its_status(status: str) -> None:
    bounce = event(bounce_classification="Unclassified", status=f"5.{status}", type="bounce")
    assert meaning(sendgrid_reasons.reason_of(bounce)) == SMTP[status]
    assert smtp_reasons.find_reason(f"5.{status} no") == SMTP[status][0]


def test_a_block_of_one_message_suppresses_no_address() -> None:
    found = sendgrid_reasons.reason_of(event(status="5.1.1", type="blocked"))
    assert meaning(found) == ("refused_recipient", R, None, False)


@pytest.mark.parametrize("fields", [{}, {"status": ""}, {"status": "5.0.0"}, {"status": 7, "type": None}])
def test_a_bounce_without_a_known_cause_has_no_reason(fields: dict[str, Any]) -> None:
    assert sendgrid_reasons.reason_of(event(**fields)) is None


@pytest.mark.parametrize("bounce", SES)
def test_every_bounce_of_ses_has_its_meaning(bounce: tuple[str, str, str]) -> None:
    kind, subtype, status = bounce
    found = ses_reasons.bounce_reason({"bounceType": kind, "bounceSubType": subtype}, status)
    assert meaning(found) == SES[bounce]


@pytest.mark.parametrize("code", TWILIO)
def test_every_delivery_error_of_twilio_has_its_meaning(code: int) -> None:
    assert (
        meaning(twilio_reasons.find_failure_reason({"MessageStatus": "undelivered", "ErrorCode": str(code)}))
        == TWILIO[code]
    )


@pytest.mark.parametrize("code", REQUESTS)
def test_every_error_of_a_request_to_twilio_has_its_meaning(code: int) -> None:
    assert meaning(twilio_reasons.REASONS[code], refused=True) == REQUESTS[code]


def test_every_error_of_vonage_has_its_meaning() -> None:
    assert {code: meaning(reason) for code, reason in vonage_reasons.REASONS.items()} == VONAGE


@pytest.mark.parametrize("status", ["failed", "undelivered"])
def test_a_failure_without_a_code_is_an_unknown_error(status: str) -> None:
    assert twilio_reasons.find_failure_reason({"MessageStatus": status}) == "unknown_error"


def test_a_message_canceled_at_twilio_is_a_failure_of_the_account() -> None:
    assert meaning(twilio_reasons.find_failure_reason({"MessageStatus": "canceled"})) == (
        "canceled_at_provider",
        A,
        None,
        False,
    )


@pytest.mark.parametrize(
    ("code", "text", "is_recipient_reply", "reason"),
    [
        (450, "try again", True, "greylisted"),
        (450, "4.2.0 greylisted", True, "greylisted"),
        (451, "local error", True, "greylisted"),
        (451, "4.7.1 greylisted, see you later", True, "greylisted"),
        (451, "4.7.1 greylisted", False, "greylisted"),
        (452, "insufficient storage", True, "mailbox_full"),
        (452, "4.2.2 over quota", False, "mailbox_full"),
        (422, "4.2.2 over quota", True, "mailbox_full"),
        (552, "5.2.2 over quota", True, "mailbox_full"),
        (552, "5.2.2 over quota", False, "mailbox_full"),
        (552, "over quota", True, "mailbox_full"),
        (552, "message too large", False, None),
        (552, "5.3.4 message too large", True, None),
        (550, "5.2.2 over quota", True, None),
        (421, "4.7.0 closing", True, "unavailable"),
        (451, "4.3.2 shutting down", True, "unavailable"),
        (452, "4.3.1 disk full", True, "unavailable"),
        (454, "temporary failure", True, "unavailable"),
    ],
)
def test_a_reply_to_retry_is_of_the_recipient_or_of_the_server(
    code: int, text: str, is_recipient_reply: bool, reason: str | None
) -> None:
    assert find_retry_reason(code, text, is_recipient_reply=is_recipient_reply) == reason
    if reason is not None:
        assert counts_for_circuit(reason) is (reason == "unavailable")


@pytest.mark.parametrize(("word", "status"), FCM)
async def test_every_error_of_fcm_has_its_meaning(word: str, status: int) -> None:
    async with FcmBench.running() as bench:
        body = {"error": {"status": word, "details": [{"errorCode": word}]}}
        bench.vendor.reply = Reply(status=status, body=body)
        outcome = await send(bench.provider, bench.message_in_mode(VendorMode.GOOD))
    assert meaning(outcome.reason, refused=True) == FCM[word, status]


@pytest.mark.parametrize("word", APNS)
def test_every_error_of_apns_has_its_meaning(word: str) -> None:
    assert meaning(apns_reasons.REASONS[word], refused=True) == APNS[word]


def test_every_reason_of_the_adapters_is_in_these_tables() -> None:
    assert {word.partition(" (")[0].lower() for word in DROPPED} == set(sendgrid_reasons.DROP_REASONS)
    assert {word.lower() for word in CLASSIFIED} == set(sendgrid_reasons.BOUNCE_CLASSIFICATIONS)
    assert {*TWILIO, *REQUESTS} - {31999} == set(twilio_reasons.REASONS)
    assert set(APNS) == set(apns_reasons.REASONS)
    assert set(SMTP) == set(smtp_reasons.REASONS)
    assert set(MAILGUN) == set(mailgun_reasons.FAILURE_REASONS)
    assert set(MAILGUN_ERRORS) == set(mailgun_reasons.ERROR_REASONS)
    assert {subtype for _, subtype, _ in SES} >= set(ses_reasons.BOUNCE_REASONS)


def reason_tables(name: str) -> Iterator[tuple[str, Mapping[Any, str]]]:
    """Yield each table that is named `…REASONS`, of the provider's class and of the modules of its package."""
    adapter = PROVIDERS[name]
    package = adapter.__module__.removesuffix(".adapter")
    owned = [module for path, module in sys.modules.items() if path == package or path.startswith(f"{package}.")]
    for owner in (adapter, *owned):
        for attribute, value in vars(owner).items():
            if attribute.endswith("REASONS") and isinstance(value, Mapping) and value is not REASONS:
                yield f"{package}: {attribute}", value


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_reason_table_maps_to_the_vocabulary(name: str) -> None:
    unknown = {table: set(values.values()) - set(REASONS) for table, values in reason_tables(name)}
    assert {table: codes for table, codes in unknown.items() if codes} == {}


def test_the_reason_tables_of_an_adapter_are_found() -> None:
    assert {name for name in PROVIDERS if list(reason_tables(name))} >= {"sendgrid", "ses", "smtp", "twilio"}


def test_only_a_reason_of_the_recipient_suppresses() -> None:
    assert {REASONS[code].category for code in (*REASON_BY_BOUNCE_CODE, *REASON_BY_REFUSAL_CODE)} == {R}


def test_the_page_of_reasons_lists_the_vocabulary() -> None:
    page = (ROOT / "docs/failure-reasons.md").read_text()
    rows = [f"| `{code}` | {reason.text} | {'yes' if reason.counts else 'no'} |" for code, reason in REASONS.items()]
    assert [row for row in rows if row not in page] == []
    assert [code for code in VOCABULARY if f"| `{code}` |" not in page] == []
    for category in ReasonCategory:
        assert f"## {category.capitalize()}" in page
    assert json.dumps(page).count("| `") >= len(REASONS)
