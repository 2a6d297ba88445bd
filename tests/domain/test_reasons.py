"""Test every reason that the engine records: the text of the API, the sentence of `explain`, and its category."""

import json
from typing import Any

import pytest

from domain.channels import Channel
from domain.gates import GateReason
from domain.holds import HoldKind, circuit_hold, pause_hold, throttling_hold
from domain.preferences import RecipientPreferences, allowed_reason_text, decide_channel
from domain.reasons import (
    SUPPRESSION_TEXTS,
    VOCABULARY,
    ChannelReason,
    Reason,
    bounce_reason,
    category_of,
    failure_line,
    failure_sentence,
    failures_from_json,
    failures_to_json,
    first_category,
    reason_line,
    reason_sentence,
    reason_with_cause,
)
from domain.redrives import already_sent_decision
from domain.suppressions import SuppressionReason
from tests.domain.reasons import parse_failures
from tests.domain.sample_types import TYPE_ID, sample_type

YES, NO = RecipientPreferences(channels={"email": True}), RecipientPreferences(channels={"email": False})


@pytest.mark.parametrize(
    ("more", "preferences", "words"),
    [
        ({}, RecipientPreferences(), "the type is on by default"),
        ({"default": {"email": "on"}}, RecipientPreferences(), "the type is on for email by default"),
        ({"default": {"sms": "off"}}, RecipientPreferences(), "no rule forbids it"),
        ({"required": True}, NO, "the type is required, whatever the recipient prefers"),
        ({}, YES, "the recipient has email turned on"),
        (
            {},
            RecipientPreferences(types={"order.shipped": {"email": True}}),
            "the recipient's preference for order.shipped allows it",
        ),
    ],
)
def test_a_rule_that_allows_a_channel_has_words(
    more: dict[str, Any], preferences: RecipientPreferences, words: str
) -> None:
    decision = decide_channel(sample_type(**more), Channel.EMAIL, preferences)
    assert decision.allowed
    assert allowed_reason_text(decision.rule, "email") == words


NOT_OPTED_IN = "the type is off by default, and the recipient has not opted in"


@pytest.mark.parametrize(
    ("more", "preferences", "text", "words"),
    [
        ({"default": "off"}, RecipientPreferences(), "not_opted_in (type.default)", NOT_OPTED_IN),
        ({"default": {"email": "off"}}, RecipientPreferences(), "not_opted_in (type.default.email)", NOT_OPTED_IN),
        ({}, NO, "opted_out (global_channel_opt_in.email)", "the recipient has turned it off"),
        (
            {"category": "MARKETING"},
            RecipientPreferences(types={"MARKETING": {"email": False}}),
            "opted_out (type_channel_preferences.MARKETING.email)",
            "the recipient has turned it off for MARKETING",
        ),
    ],
)
def test_a_rule_that_forbids_a_channel_is_an_opt_out_or_no_opt_in(
    more: dict[str, Any], preferences: RecipientPreferences, text: str, words: str
) -> None:
    refusal = decide_channel(sample_type(**more), Channel.EMAIL, preferences).refusal
    assert (reason_line(refusal), reason_sentence(refusal)) == (text, words)


REASONS = {
    "refused: status_404": (
        reason_with_cause("refused", "status_404"),
        "the provider refuses this recipient: status_404",
    ),
    "refused_recipient": (reason_with_cause("refused", "refused_recipient"), "the provider refuses this recipient"),
    "refused: too_large": (
        reason_with_cause("refused", "too_large"),
        "the provider refuses this message: the message is too large",
    ),
    "content_refused": (reason_with_cause("refused", "content_refused"), "the provider refuses this message"),
    "provider_failed: credentials_refused": (
        bounce_reason("credentials_refused"),
        "no provider can send it: the credentials are refused",
    ),
    "bounced: mailbox_full": (bounce_reason("mailbox_full"), "the provider did not deliver it: the mailbox is full"),
    "bounced": (bounce_reason(None), "the provider did not deliver it"),
    "retries_exhausted: timeout": (
        Reason("retries_exhausted", {"attempts": 12, "cause": "timeout"}),
        "given up after 12 attempts, the last one: no answer came in time",
    ),
    "retries_exhausted: throttled": (
        Reason("retries_exhausted", {"attempts": 1, "cause": "throttled"}),
        "given up after one attempt, the last one: the provider is rate-limiting",
    ),
    "retries_exhausted: proved_absent": (
        reason_with_cause("retries_exhausted", "proved_absent"),
        "given up after several attempts, the last one: the provider does not have it",
    ),
    "outcome_unknown: worker_lost": (
        reason_with_cause("outcome_unknown", "worker_lost"),
        "it is not known whether it arrived: the process was lost during the call",
    ),
    "expired: throttled": (
        reason_with_cause("expired", "throttled"),
        "its time was over; before that: the provider is rate-limiting",
    ),
    "template_error: undefined in body, line 3": (
        reason_with_cause("template_error", "undefined in body, line 3"),
        "its template failed: undefined in body, line 3",
    ),
    "sms_too_long (12 segments)": (
        Reason("sms_too_long", {"segments": 12, "limit": 10}),
        "its text needs 12 segments; at most 10 are sent",
    ),
    "goal_reached (step 2)": (Reason("goal_reached", {"step": 2}), "step 2 has reached its goal"),
    "already_sent (generation 1)": (already_sent_decision(1).reason, "generation 1 turned out to have sent it"),
    "workflow_ended (terminated)": (
        Reason("workflow_ended", {"how": "terminated"}),
        "its workflow ended in Temporal without it (terminated)",
    ),
    "paused (channel email)": (pause_hold(TYPE_ID, HoldKind.CHANNEL, "email").reason, "the channel email is paused"),
    "tenant_suspended": (pause_hold(TYPE_ID, HoldKind.TENANT, "01a1").reason, "the tenant is suspended"),
    "circuit_open (smtp)": (circuit_hold("smtp", 1).reason, "smtp is down, and its circuit is open"),
    "provider_throttled (smtp)": (throttling_hold("smtp").reason, "smtp wants no calls for a while"),
    # Of another version: a code that is not listed, and one whose argument is missing.
    "something new": (Reason("something new"), "something new"),
    "retries_exhausted after 3 attempts: timeout": (
        Reason("retries_exhausted after 3 attempts: timeout"),
        "retries_exhausted after 3 attempts: timeout",
    ),
    "goal_reached": (Reason("goal_reached"), "goal_reached"),
}


@pytest.mark.parametrize(("text", "reason", "words"), [(text, *row) for text, row in REASONS.items()], ids=REASONS)
def test_a_reason_has_a_text_and_a_sentence(text: str, reason: Reason, words: str) -> None:
    assert (reason_line(reason), reason_sentence(reason)) == (text, words)


def test_an_absent_reason_is_formatted_as_such() -> None:
    assert reason_sentence(None) == "no reason is recorded"


@pytest.mark.parametrize("why", GateReason)
def test_every_gate_is_in_the_vocabulary(why: GateReason) -> None:
    assert why in VOCABULARY


@pytest.mark.parametrize("why", SuppressionReason)
def test_every_list_of_suppressions_has_words(why: SuppressionReason) -> None:
    suppressed = Reason("suppressed", {"list": why})
    assert reason_line(suppressed) == f"suppressed ({why})"
    assert reason_sentence(suppressed) == f"its address is on the suppression list ({SUPPRESSION_TEXTS[why]})"


BOTH = parse_failures("email: bounced: mailbox_full; sms: no_address")


def test_the_reason_of_a_notification_names_each_channel() -> None:
    assert failure_line(BOTH) == "email: bounced: mailbox_full; sms: no_address"
    assert failure_sentence(BOTH) == (
        "email: the provider did not deliver it: the mailbox is full;"
        " sms: the recipient has no address or device for it"
    )
    assert failure_line(parse_failures("internal")) == "internal"
    assert failure_line(()) is None


def test_reasons_are_the_same_after_they_were_stored() -> None:
    assert failures_from_json(None) == ()
    some = (*BOTH, ChannelReason(None, Reason("retries_exhausted", {"attempts": 3, "cause": "timeout"})))
    assert failures_from_json(json.loads(json.dumps(failures_to_json(some)))) == some


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("email: expired; sms: bounced: mailbox_full", "recipient"),
        ("email: retries_exhausted: timeout; sms: no_address", "unreachable"),
        ("email: provider_failed: quota_exceeded", "account"),
        ("email: template_error: undefined", "content"),
        ("sms: sms_too_long", "content"),
        ("email: refused: status_404", "recipient"),
        ("email: no_provider", "account"),
        ("throttled", None),  # the limit of the type, not a provider that is rate-limiting
        ("email: opted_out", None),  # a preference, not what a provider reports
        ("internal", None),
    ],
)
def test_the_category_is_that_of_the_first_channel_that_has_one(text: str, category: str | None) -> None:
    assert first_category(parse_failures(text)) == category


def test_no_reason_has_no_category() -> None:
    assert category_of(None) is None
