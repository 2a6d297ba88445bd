"""The validity of an SMS has the vendor's limits, or those of Tocsin."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.channels import Channel
from providers.sms_message import find_ttl
from tests.outgoing_messages import outgoing_message


@pytest.mark.parametrize(
    ("left", "seconds"), [(timedelta(days=30), 172_800), (timedelta(hours=-1), 1), (timedelta(hours=1), 3_600)]
)
def test_the_validity_without_limits_of_the_vendor_is_at_most_two_days(left: timedelta, seconds: int) -> None:
    ttl = find_ttl(outgoing_message(Channel.SMS, expires_at=datetime.now(UTC) + left))
    assert ttl is not None
    assert 0 <= seconds - ttl <= 60


def test_a_message_that_does_not_expire_has_no_validity() -> None:
    assert find_ttl(outgoing_message(Channel.SMS, expires_at=None)) is None
