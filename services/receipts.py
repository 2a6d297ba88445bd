"""Parse the callbacks of providers and store their receipts. Called by the route of receipts; `dispatch/` applies them
later."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from domain.inbound_messages import InboundMessage, Keyword
from domain.names import derived_id
from domain.vendor_values import clean_raw
from providers.base import Provider, ProviderReceipt
from services.inbound_messages import apply_inbound_message
from storage import receipts
from storage.database import Database
from storage.receipts import StoredReceipt


class TooManyEvents(Exception):
    """Reject a request with more events than the provider sends at once. None is stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedReceipt:
    """A receipt to store. `inbound` is the message of a recipient, which it stands for."""

    row: StoredReceipt
    inbound: InboundMessage | None


def parse_receipts(adapter: Provider, headers: Mapping[str, str], body: bytes, query: str) -> list[ParsedReceipt]:
    """Verify and parse a callback. Raise ForgedReceipt, UnreadableReceipt or TooManyEvents."""
    reported = adapter.parse_receipts(headers, body, query)
    if len(reported) > adapter.max_events:
        raise TooManyEvents(f"{len(reported)} events; the limit is {adapter.max_events}")
    return [ParsedReceipt(row=stored_receipt_of(adapter.name, each), inbound=each.inbound) for each in reported]


async def store_receipts(
    database: Database, parsed: list[ParsedReceipt], answered_keywords: Collection[Keyword]
) -> None:
    """Store all receipts in one statement. Only messages of recipients need a transaction."""
    if any(receipt.inbound for receipt in parsed):
        async with database.transaction() as session:
            await _apply_inbound_messages(session, parsed, answered_keywords)
    else:
        await receipts.store_in_own_transaction(database, [receipt.row for receipt in parsed])


async def _apply_inbound_messages(
    session: AsyncSession, parsed: list[ParsedReceipt], answered_keywords: Collection[Keyword]
) -> None:
    """Apply each message once, however often the callback is repeated. Its receipt concerns no message of ours."""
    new = await receipts.store(session, [receipt.row for receipt in parsed])
    for receipt in parsed:
        if receipt.inbound is not None and receipt.row.id in new:
            await apply_inbound_message(session, receipt.row.provider, receipt.inbound, answered_keywords)
            await receipts.mark_applied(session, [receipt.row])


def stored_receipt_of(provider: str, receipt: ProviderReceipt) -> StoredReceipt:
    """Build the row. Its id is derived from the content, because vendors repeat callbacks, some with a new event id."""
    content = json.dumps(receipt.raw, sort_keys=True)
    return StoredReceipt(
        id=derived_id("receipt", provider, content),
        provider=provider,
        kind=receipt.kind,
        attempt_id=receipt.attempt_id,
        provider_message_id=receipt.provider_message_id,
        reason=receipt.reason,
        occurred_at=receipt.occurred_at,
        raw=clean_raw(receipt.raw if receipt.stored_raw is None else receipt.stored_raw),
        token=derived_id("receipt_token", provider, receipt.token) if receipt.token else None,
    )
