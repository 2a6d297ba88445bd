"""Test the lookup of messages at Vonage, in its reports."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import pytest

from providers.outcomes import (
    LookupRefused,
    ProviderError,
    TemporaryError,
)
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.vonage import (
    problem,
)
from tests.providers.harness_vonage import VonageBench
from tests.providers.published_schemas import schema_problems


@pytest.fixture
async def bench() -> AsyncIterator[VonageBench]:
    async with VonageBench.running() as bench:
        yield bench


async def test_the_query_of_a_report_has_the_published_form(bench: VonageBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    await bench.provider.send(message)
    since = datetime(2026, 3, 1, 12, tzinfo=UTC)
    [found] = await bench.provider.look_up(message, since)
    [request] = bench.vendor.log.lookups
    query = dict(parse_qsl(urlsplit(request.target).query))
    assert schema_problems("vonage/reports", "createSyncReportPublic", query) == []
    assert (query["to"], query["date_start"]) == (message.address["phone"][1:], "2026-03-01T11:59:00Z")
    assert (found.cost, found.response["message_status"]) == ("0.0333", "submitted")
    report = bench.vendor.look_up(request).body
    assert schema_problems("vonage/reports", "MessagesOutboundRecordsResponse", report) == []


async def test_a_report_is_searched_by_the_attempt(bench: VonageBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    await bench.provider.send(message)
    other = replace(message, attempt_id=message.delivery_id)
    assert await bench.provider.look_up(other, datetime.now(UTC)) == []


async def test_a_message_beyond_the_first_page_is_not_missing(bench: VonageBench) -> None:
    messages = [bench.message_in_mode(VendorMode.GOOD) for _ in range(2)]
    messages = [replace(message, address=messages[0].address) for message in messages]
    for message in messages:
        await bench.provider.send(message)
    bench.vendor.page_size = 1
    assert len(await bench.provider.look_up(messages[0], datetime.now(UTC))) == 1
    with pytest.raises(TemporaryError, match=r"^too_many_messages$"):
        await bench.provider.look_up(messages[1], datetime.now(UTC))


UNUSABLE_REPORTS: list[tuple[Reply, type[ProviderError], str]] = [
    (Reply(status=403, body=problem("#forbidden", "Forbidden")), LookupRefused, "reports_not_available"),
    (Reply(status=200, body={"request_status": "TRUNCATED", "records": []}), TemporaryError, "too_many_messages"),
    (Reply(status=200, body={"request_status": "SUCCESS"}), TemporaryError, "malformed_response"),
]


@pytest.mark.parametrize(("reply", "error", "reason"), UNUSABLE_REPORTS, ids=["403", "truncated", "no records"])
async def test_an_unusable_report_proves_nothing(
    bench: VonageBench, reply: Reply, error: type[ProviderError], reason: str
) -> None:
    bench.vendor.lookup_override = reply
    with pytest.raises(error, match=f"^{reason}$"):
        await bench.provider.look_up(bench.message_in_mode(VendorMode.GOOD), datetime.now(UTC))


async def test_a_record_without_an_id_is_malformed(bench: VonageBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    bench.vendor.lookup_override = Reply(status=200, body={"records": [{"client_ref": str(message.attempt_id)}]})
    with pytest.raises(TemporaryError, match=r"^malformed_response$"):
        await bench.provider.look_up(message, datetime.now(UTC))
