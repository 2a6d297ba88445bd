"""Test the lookup of emails at SendGrid."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from providers.outcomes import (
    PermanentError,
    ProviderAcceptance,
    TemporaryError,
)
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.providers.harness_sendgrid import SendGridBench


@pytest.fixture
async def bench() -> AsyncIterator[SendGridBench]:
    async with SendGridBench.running() as bench:
        yield bench


async def test_without_the_add_on_nothing_can_be_looked_up(bench: SendGridBench) -> None:
    bench.vendor.is_entitled = False
    with pytest.raises(PermanentError, match="email_activity_not_available"):
        await bench.provider.look_up(bench.message_in_mode(VendorMode.GOOD), datetime.now(UTC))


async def test_a_found_message_has_its_api_id_and_status(bench: SendGridBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    activity = {"msg_id": "X1Y2Z3.recvd-5f-1.0", "to_email": message.address["email"].upper(), "status": "delivered"}
    bench.vendor.activity[str(message.attempt_id)].append(activity)
    found = await bench.provider.look_up(message, datetime.now(UTC))
    assert found == [ProviderAcceptance(message_id="X1Y2Z3", response={"status": 200, "message_status": "delivered"})]


async def test_an_international_domain_is_found_by_its_ascii_form(bench: SendGridBench) -> None:
    message = replace(
        bench.message_in_mode(VendorMode.GOOD),
        address={"email": "a+good@müller.de", "email_ascii": "a+good@xn--mller-kva.de"},
    )
    accepted = await bench.provider.send(message)
    assert isinstance(accepted, ProviderAcceptance)
    [found] = await bench.provider.look_up(message, datetime.now(UTC))
    assert found.message_id == accepted.message_id


async def test_a_list_with_messages_of_others_is_no_proof(bench: SendGridBench) -> None:
    """In case the vendor ignores an unknown condition."""
    message = bench.message_in_mode(VendorMode.GOOD)
    bench.vendor.activity[str(message.attempt_id)].append({"msg_id": "X1", "to_email": "eve@example.com"})
    assert await bench.provider.look_up(message, datetime.now(UTC)) == []


@pytest.mark.parametrize("messages", [None, {}, [7], [{"to_email": "ada+good@example.com"}]])
async def test_an_invalid_list_proves_nothing(bench: SendGridBench, messages: Any) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    bench.vendor.lookup_override = Reply(status=200, body={"messages": messages})
    with pytest.raises(TemporaryError, match="malformed_response"):
        await bench.provider.look_up(message, datetime.now(UTC))
