"""Run the tests of the example project on this session's installation; `test_plugin.py` runs them as users do."""

import pytest

from examples.testing.test_payment_reminder import (
    shop,
    test_a_reminder_for_a_later_day_is_sent_that_day,
    test_a_reminder_that_expires_while_paused_is_not_sent,
    test_an_address_that_bounces_falls_back_to_a_text_message,
    test_an_email_that_is_not_opened_is_followed_by_a_text_message,
    test_an_email_that_is_opened_is_not_followed_up,
)

__all__ = [
    "shop",
    "test_a_reminder_for_a_later_day_is_sent_that_day",
    "test_a_reminder_that_expires_while_paused_is_not_sent",
    "test_an_address_that_bounces_falls_back_to_a_text_message",
    "test_an_email_that_is_not_opened_is_followed_by_a_text_message",
    "test_an_email_that_is_opened_is_not_followed_up",
]

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
