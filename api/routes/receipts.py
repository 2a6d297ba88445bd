"""Providers' callbacks: verified over the raw bytes, stored, answered; applied afterwards."""

import asyncio
import json
from collections.abc import Mapping
from functools import partial

import structlog
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.body_budget import BodyBudget
from api.front_door import BATCHES, IN_THREAD, FrontDoor, accepts_any_query, public
from api.json_values import has_more_values
from api.openapi import answers, response
from api.parts import PartsDep
from api.problems import Problem, not_found
from api.rate_limits import RateLimits
from bootstrap import Parts
from domain.evidence import ReceiptKind
from domain.names import derived_id
from domain.vendor_values import clean_raw
from providers.base import ForgedReceipt, Provider, ProviderReceipt, UnreadableReceipt
from storage import opt_outs, receipts
from storage.database import Database
from storage.receipts import StoredReceipt

log = structlog.get_logger(__name__)
router = APIRouter(route_class=FrontDoor, tags=["receipts"])

BODY_LIMIT = 1024 * 1024
VALUE_LIMIT = 100_000
OBEY = {ReceiptKind.UNSUBSCRIBED: opt_outs.opt_out, ReceiptKind.RESUBSCRIBED: opt_outs.opt_in}
Reported = tuple[StoredReceipt, ProviderReceipt]
FORGED = ("forged", "The provider's signature is missing or wrong")


class TooManyEvents(Exception):
    """The request reports more events than the provider sends at once. None is stored."""


@router.post("/receipts/{provider}", status_code=204, responses=answers(400, 413) | {401: response(401, FORGED[1])})
@public
@accepts_any_query  # vendors add parameters of their own to the callback URL, and sign them with it
async def take_receipts(provider: str, request: Request, parts: PartsDep) -> Response:
    """No key: the provider's signature. 2xx as soon as they are stored, whether or not they match anything yet."""
    rates: RateLimits = request.app.state.rate_limits
    async with rates.receipts.unverified(request):
        reported = await _read(_adapter(parts, provider), request)
    await _keep(parts.database, reported)
    parts.on_receipts()
    return Response(status_code=204)


def _adapter(parts: Parts, provider: str) -> Provider:
    adapter = parts.providers.get(provider)
    if adapter is None:
        raise not_found("This provider is in no channel's pool.")
    if not adapter.parses_receipts:
        raise not_found("This provider reports nothing.")
    return adapter


async def _read(adapter: Provider, request: Request) -> list[Reported]:
    budget: BodyBudget = request.app.state.body_budget
    async with budget.read(request, BODY_LIMIT) as body:
        return await _verified(adapter, request, body)


async def _verified(adapter: Provider, request: Request, body: bytes) -> list[Reported]:
    # Text that is no JSON, such as a form, has no values: its commas and brackets are escaped.
    if has_more_values(body, VALUE_LIMIT):
        raise Problem(413, f"The body may have at most {VALUE_LIMIT} JSON values.")
    parse = partial(_parsed, adapter, request.headers, body, request.scope["query_string"].decode("latin-1"))
    try:
        if len(body) <= IN_THREAD:
            return parse()
        return await asyncio.get_running_loop().run_in_executor(BATCHES, parse)
    except (ForgedReceipt, UnreadableReceipt, TooManyEvents) as error:
        log.warning("receipt refused", provider=adapter.name, reason=str(error))
        if isinstance(error, TooManyEvents):
            raise Problem(413, f"A request may report at most {adapter.max_events} events.") from None
        if isinstance(error, ForgedReceipt):
            raise Problem(401, kind=FORGED) from None
        raise Problem(400, "The body is not what this provider sends.") from None


def _parsed(adapter: Provider, headers: Mapping[str, str], body: bytes, query: str) -> list[Reported]:
    reported = adapter.parse_receipts(headers, body, query)
    if len(reported) > adapter.max_events:
        raise TooManyEvents(f"{len(reported)} events; the limit is {adapter.max_events}")
    return [(_stored(adapter.name, receipt), receipt) for receipt in reported]


async def _keep(database: Database, reported: list[Reported]) -> None:
    """Store all in one statement, which is the transaction unless a recipient wrote to us."""
    if any(receipt.phone for _, receipt in reported):
        async with database.transaction() as session:
            await _obey(session, reported)
    else:
        await receipts.store_alone(database, [row for row, _ in reported])


async def _obey(session: AsyncSession, reported: list[Reported]) -> None:
    """What a recipient wrote to us is about no message. It is obeyed once, however often the callback is repeated."""
    new = await receipts.store(session, [row for row, _ in reported])
    for row, receipt in reported:
        if receipt.phone is not None and row.id in new:
            await OBEY[receipt.kind](session, row.provider, receipt.phone)
            await receipts.mark_applied(session, [row])


def _stored(provider: str, receipt: ProviderReceipt) -> StoredReceipt:
    """Identified by its content: vendors repeat callbacks, some under a new event id."""
    content = json.dumps(receipt.raw, sort_keys=True)
    return StoredReceipt(
        id=derived_id("receipt", provider, content),
        provider=provider,
        kind=receipt.kind,
        attempt_id=receipt.attempt_id,
        provider_message_id=receipt.provider_message_id,
        reason=receipt.reason,
        occurred_at=receipt.occurred_at,
        raw=clean_raw(receipt.raw if receipt.kept is None else receipt.kept),
    )
