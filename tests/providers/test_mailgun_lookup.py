"""Test the lookup of emails at Mailgun."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from providers.mailgun.lookup import PAGE_SIZE, REFERENCE
from providers.outcomes import (
    LookupRefused,
    PermanentError,
    ProviderError,
    TemporaryError,
)
from testing.vendors.http import Reply
from tests.providers.harness_mailgun import ATTEMPT, COPIES, MailgunBench, good
from tests.providers.published_schemas import schema_problems


@pytest.fixture
async def bench() -> AsyncIterator[MailgunBench]:
    async with MailgunBench.running() as bench:
        yield bench


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (403, LookupRefused, "events_not_available"),
        (401, PermanentError, "credentials_refused"),
        (404, PermanentError, "account_not_found"),
    ],
)
async def test_a_key_that_may_only_send_finds_nothing(
    bench: MailgunBench, status: int, error: type[ProviderError], reason: str
) -> None:
    bench.vendor.lookup_override = Reply(status=status, body={"message": "Forbidden"})
    with pytest.raises(error, match=reason):
        await bench.provider.look_up(good(bench), datetime.now(UTC))


async def test_a_query_and_its_events_fit_the_published_schema(bench: MailgunBench) -> None:
    message = good(bench, email=COPIES)
    await bench.provider.send(message)
    [found] = await bench.provider.look_up(message, datetime.now(UTC))
    assert found.message_id == f"{message.delivery_id}@example.com/{message.attempt_id}"
    query: dict[str, Any] = bench.vendor.log.lookups[-1].query
    assert schema_problems("mailgun/mailgun", "EventsQuery", query | {"limit": int(query["limit"])}) == []
    assert message.address["email"] not in str(query)
    [events] = bench.vendor.events.values()
    assert len(events) == 3
    for event in events:
        event.pop("recipient")  # in every example of an event, but not in its schema
        assert schema_problems("mailgun/mailgun", "EventResponse", event) == []


@pytest.mark.parametrize(
    "items",
    [
        None,
        [7],
        [{"user-variables": {REFERENCE: str(ATTEMPT)}}],
        [{"user-variables": {}}] * PAGE_SIZE,
    ],
    ids=["none", "no objects", "no id", "a full page without it"],
)
async def test_an_incomplete_list_proves_nothing(bench: MailgunBench, items: Any) -> None:
    bench.vendor.lookup_override = Reply(status=200, body={"items": items})
    with pytest.raises(TemporaryError, match="malformed_response"):
        await bench.provider.look_up(good(bench, attempt_id=ATTEMPT), datetime.now(UTC))
