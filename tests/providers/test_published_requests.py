"""Test that the requests to SendGrid and Twilio, and the records of the fake Twilio, fit the published schemas."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from domain.email_options import NO_EMAIL_OPTIONS, EmailOptions
from testing.vendors.modes import VendorMode
from tests.providers.harness_sendgrid import SendGridBench
from tests.providers.harness_twilio import TwilioBench
from tests.providers.published_schemas import schema_problems
from tests.providers.test_email_options import OPTIONS

NUMBERS = ("ValidityPeriod", "PageSize")


@pytest.mark.parametrize("options", [NO_EMAIL_OPTIONS, OPTIONS], ids=["plain", "all options"])
async def test_a_request_to_sendgrid_fits_the_published_schema(options: EmailOptions) -> None:
    async with SendGridBench.running() as bench:
        message = replace(bench.message_in_mode(VendorMode.GOOD), email=options, tags=("order-7",))
        await bench.provider.send(message)
        mail = bench.vendor.log.requests[-1].json
        assert schema_problems("sendgrid/mail", "PostMailSend", mail) == []
        wrong = mail | {"from": "shop@example.com", "categorys": ["order-7"]}
        assert len(schema_problems("sendgrid/mail", "PostMailSend", wrong)) == 2


async def test_a_message_and_a_lookup_at_twilio_fit_the_published_schema() -> None:
    async with TwilioBench.running() as bench:
        expires_at = datetime.now(UTC) + timedelta(hours=1)
        message = replace(bench.message_in_mode(VendorMode.GOOD), expires_at=expires_at)
        await bench.provider.send(message)
        form = typed(bench.vendor.log.requests[-1].form)
        assert "ValidityPeriod" in form
        assert schema_problems("twilio/messages", "CreateMessageRequest", form) == []
        assert len(schema_problems("twilio/messages", "CreateMessageRequest", form | {"Sender": "Shop"})) == 1
        await bench.provider.look_up(replace(message, attempt_id=uuid4()), datetime.now(UTC))
        query = typed(bench.vendor.log.lookups[-1].query)
        assert schema_problems("twilio/messages", "ListMessageQuery", query) == []
        [record] = bench.vendor.messages
        assert schema_problems("twilio/messages", "api.v2010.account.message", record) == []


def typed(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a form or query with numbers as numbers."""
    return {name: int(value) if name in NUMBERS else value for name, value in fields.items()}
