"""Test that the most specific rule decides about a channel, and is named."""

from typing import Any

import pytest

from domain.channels import Channel
from domain.preferences import RecipientPreferences, decide_channel
from tests.domain.sample_types import sample_type

TYPE, CATEGORY = "order.shipped", "ORDERS"
NO, YES = {"email": False}, {"email": True}

# Type, category, whole channel, the type's default → allowed, by which rule.
ORDER: list[tuple[Any, Any, Any, Any, bool, str]] = [
    (YES, NO, NO, "off", True, "type_channel_preferences.order.shipped.email"),
    (NO, YES, YES, "on", False, "type_channel_preferences.order.shipped.email"),
    (None, YES, NO, "off", True, "type_channel_preferences.ORDERS.email"),
    (None, NO, YES, "on", False, "type_channel_preferences.ORDERS.email"),
    (None, None, YES, "off", True, "global_channel_opt_in.email"),
    (None, None, NO, "on", False, "global_channel_opt_in.email"),
    (None, None, None, "on", True, "type.default"),
    (None, None, None, "off", False, "type.default"),
    (None, None, None, {"email": "on", "sms": "off"}, True, "type.default.email"),
    (None, None, None, {"email": "off"}, False, "type.default.email"),
    (None, None, None, {"sms": "off"}, True, "on"),
    (None, None, None, None, True, "type.default"),
    ({"sms": False}, {"sms": False}, {"sms": False}, "on", True, "type.default"),
    ({"sms": True}, NO, YES, "on", False, "type_channel_preferences.ORDERS.email"),
]


@pytest.mark.parametrize(("by_type", "by_category", "by_channel", "default", "allowed", "rule"), ORDER)
def test_the_most_specific_rule_decides(
    by_type: Any, by_category: Any, by_channel: Any, default: Any, allowed: bool, rule: str
) -> None:
    said = {TYPE: by_type, CATEGORY: by_category}
    preferences = RecipientPreferences(
        channels=by_channel or {}, types={name: value for name, value in said.items() if value is not None}
    )
    decision = decide_channel(
        sample_type(category=CATEGORY, **({} if default is None else {"default": default})), Channel.EMAIL, preferences
    )
    assert (decision.allowed, decision.rule) == (allowed, rule)


def test_a_category_that_the_type_does_not_have_is_ignored() -> None:
    preferences = RecipientPreferences(types={CATEGORY: NO})
    assert decide_channel(sample_type(), Channel.EMAIL, preferences).allowed


@pytest.mark.parametrize(
    "preferences",
    [
        RecipientPreferences(types={TYPE: NO}),
        RecipientPreferences(types={CATEGORY: NO}),
        RecipientPreferences(channels=NO),
        RecipientPreferences(),
    ],
)
def test_a_required_type_ignores_every_opt_out(preferences: RecipientPreferences) -> None:
    decision = decide_channel(sample_type(category=CATEGORY, required=True, default="off"), Channel.EMAIL, preferences)
    assert (decision.allowed, decision.rule) == (True, "required")
