"""Test every documented reason of every vendor: its code, category, suppression, and effect on the circuit."""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from domain.failure_reasons import REASONS, ReasonCategory, counts_for_circuit
from domain.reasons import VOCABULARY
from domain.suppressions import REASON_BY_BOUNCE_CODE, REASON_BY_REFUSAL_CODE
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
from tests.providers.expected_reasons import (
    APNS,
    CLASSIFIED,
    DROPPED,
    FCM,
    MAILGUN,
    MAILGUN_ERRORS,
    REQUESTS,
    SES,
    SMTP,
    TWILIO,
    VONAGE,
)
from tests.providers.harness_fcm import FcmBench
from tests.providers.reason_meanings import A, R, meaning


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
