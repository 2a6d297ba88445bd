"""Every rule and reason that the engine records has words for people."""

from typing import Any

import pytest

from domain import wording
from domain.channels import Channel
from domain.gates import Reason
from domain.holds import HoldKind, circuit_open, paused, provider_throttled
from domain.preferences import Preferences, decide
from domain.redrives import left_to
from domain.suppressions import SuppressionReason
from tests.domain.kinds import TYPE_ID, kind

YES, NO = Preferences(channels={"email": True}), Preferences(channels={"email": False})


@pytest.mark.parametrize(
    ("more", "preferences", "words"),
    [
        ({}, Preferences(), "the type is on by default"),
        ({"default": "off"}, Preferences(), "the type is off unless the person asks for it"),
        ({"default": {"email": "off"}}, Preferences(), "the type is off for email unless the person asks for it"),
        ({"default": {"email": "on"}}, Preferences(), "the type is on for email by default"),
        ({"default": {"sms": "off"}}, Preferences(), "nothing speaks against it"),
        ({"required": True}, NO, "the type is required, whatever the person prefers"),
        ({}, YES, "the person has email turned on"),
        ({}, NO, "the person has email turned off"),
        (
            {},
            Preferences(types={"order.shipped": {"email": True}}),
            "the person's preference for order.shipped allows email",
        ),
        (
            {"category": "MARKETING"},
            Preferences(types={"MARKETING": {"email": False}}),
            "the person's preference for MARKETING forbids email",
        ),
    ],
)
def test_a_rule_is_told_in_words(more: dict[str, Any], preferences: Preferences, words: str) -> None:
    decision = decide(kind(**more), Channel.EMAIL, preferences)
    told = wording.allowed(decision.rule) if decision.allowed else wording.reason(f"opted_out ({decision.rule})")
    assert told == words


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("no_address", "the person has no address or device for it"),
        ("no_template", "no template for it is published"),
        ("no_provider", "no provider is set up for it"),
        ("recipient_erased", "the person was erased"),
        ("template_error: undefined in body, line 3", "its template failed: undefined in body, line 3"),
        ("goal_reached (step 2)", "step 2 had got far enough by then"),
        (left_to(1).reason, "generation 1 turned out to have sent it"),
        ("refused: status_404", "the provider refuses this recipient: status_404"),
        ("refused_recipient", "the provider refuses this recipient"),
        ("provider_failed: credentials_refused", "no provider can send it: credentials_refused"),
        ("gave_up after 1 attempts: timeout", "given up after one attempt: timeout"),
        ("gave_up after 12 attempts: timeout", "given up after 12 attempts, the last one: timeout"),
        ("outcome_unknown: timeout", "nobody knows whether it arrived: timeout"),
        ("bounced", "it came back"),
        ("expired: throttled", "its time was over; before that: throttled"),
        ("canceled", "it was cancelled"),
        ("workflow_terminated", "its workflow ended in Temporal without it: terminated"),
        ("internal", "a fault of Tocsin's own"),
        (paused(TYPE_ID, HoldKind.CHANNEL, "email").reason, "the channel email is paused"),
        (circuit_open("smtp", 1).reason, "smtp is down, and its circuit is open"),
        (provider_throttled("smtp").reason, "smtp wants no calls for a while"),
        (Reason.QUIET_HOURS, "the person has quiet hours"),
        (Reason.SEND_WINDOW, "the type goes out at other hours"),
        (Reason.THROTTLED, "there were as many of this type as it allows"),
        (Reason.CAPPED, "the person got as many as anybody may"),
        ("something new", "something new"),
        (None, "no reason is recorded"),
    ],
)
def test_a_reason_is_told_in_words_and_a_new_one_as_it_is(code: str | None, words: str) -> None:
    assert wording.reason(code) == words


@pytest.mark.parametrize("why", Reason)
def test_every_gate_has_words(why: Reason) -> None:
    assert wording.reason(why) != why


@pytest.mark.parametrize("why", SuppressionReason)
def test_every_reason_of_the_suppression_list_has_words(why: SuppressionReason) -> None:
    assert (
        wording.reason(f"suppressed ({why})") == f"its address is on the suppression list ({wording.SUPPRESSED[why]})"
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("email: bounced; sms: no_address", "email: it came back; sms: the person has no address or device for it"),
        ("email: expired: throttled", "email: its time was over; before that: throttled"),
        ("internal", "a fault of Tocsin's own"),
        ("expired: throttled", "its time was over; before that: throttled"),
        ("", ""),
    ],
)
def test_the_reason_of_a_notification_is_told_channel_by_channel(line: str, words: str) -> None:
    assert wording.line(line) == words
