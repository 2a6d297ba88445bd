"""The tests of the example project, on the stage of this session; `test_plugin.py` runs them as their readers do."""

import pytest

from examples.testing.test_payment_reminder import (
    shop,
    test_a_reminder_for_next_week_goes_out_next_week,
    test_a_reminder_that_was_held_back_too_long_is_not_sent,
    test_nobody_waits_three_days_for_an_address_that_does_not_exist,
    test_who_does_not_open_it_gets_a_text_message_after_three_days,
    test_who_opens_it_is_left_in_peace,
)

__all__ = [
    "shop",
    "test_a_reminder_for_next_week_goes_out_next_week",
    "test_a_reminder_that_was_held_back_too_long_is_not_sent",
    "test_nobody_waits_three_days_for_an_address_that_does_not_exist",
    "test_who_does_not_open_it_gets_a_text_message_after_three_days",
    "test_who_opens_it_is_left_in_peace",
]

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
