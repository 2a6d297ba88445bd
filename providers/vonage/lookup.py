"""Search Vonage's reports for the messages of one attempt. Used by `vonage`."""

from datetime import UTC, datetime, timedelta

from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from providers.outcomes import ProviderAcceptance, TemporaryError
from providers.vendor_queries import parse_records

# Difference of the two clocks; times of reports are whole seconds.
CLOCK_SKEW = timedelta(minutes=1)


def build_query(account: str, message: OutgoingMessage, since: datetime) -> dict[str, str]:
    """Reports cannot be searched by reference: https://developer.vonage.com/en/api/reports"""
    return {
        "account_id": account,
        "product": "MESSAGES",
        "provider": "sms",
        "direction": "outbound",
        "to": message.address["phone"].removeprefix("+"),
        "date_start": f"{(since - CLOCK_SKEW).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


def find_acceptances(report: Json, reference: str) -> list[ProviderAcceptance]:
    """Return the messages with that reference. Raises TemporaryError if they may be on a page that was not read."""
    records = [record for record in parse_records(report, "records") if record.get("client_ref") == reference]
    if not records and (report.get("request_status") == "TRUNCATED" or "next" in (report.get("_links") or {})):
        raise TemporaryError("too_many_messages")
    return [build_acceptance(record) for record in sorted(records, key=lambda record: str(record.get("date_received")))]


def build_acceptance(record: Json) -> ProviderAcceptance:
    if not record.get("message_id"):
        raise TemporaryError("malformed_response")
    return ProviderAcceptance(
        message_id=record["message_id"],
        response={"status": 200, "message_status": record.get("status"), "currency": record.get("currency")},
        cost=record.get("total_price"),
    )
