"""Providers' callbacks: verified over the raw bytes, stored, answered; applied afterwards."""

import json

import structlog
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.front_door import FrontDoor, accepts_any_query, public, read_body
from api.openapi import answers, response
from api.parts import PartsDep
from api.problems import Problem, not_found
from domain.evidence import ReceiptKind
from domain.names import derived_id
from providers.base import ForgedReceipt, ProviderReceipt, UnreadableReceipt
from storage import opt_outs, receipts
from storage.receipts import StoredReceipt

log = structlog.get_logger(__name__)
router = APIRouter(route_class=FrontDoor, tags=["receipts"])

RECEIPTS_LIMIT = 1024 * 1024
OBEY = {ReceiptKind.UNSUBSCRIBED: opt_outs.opt_out, ReceiptKind.RESUBSCRIBED: opt_outs.opt_in}
FORGED = ("forged", "The provider's signature is missing or wrong")


@router.post("/receipts/{provider}", status_code=204, responses=answers(400, 413) | {401: response(401, FORGED[1])})
@public
@accepts_any_query  # vendors add parameters of their own to the callback URL, and sign them with it
async def take_receipts(provider: str, request: Request, parts: PartsDep) -> Response:
    """No key: the provider's signature. 2xx as soon as they are stored, whether or not they match anything yet."""
    adapter = parts.providers.get(provider)
    if adapter is None:
        raise not_found("This provider is in no channel's pool.")
    if not adapter.parses_receipts:
        raise not_found("This provider reports nothing.")
    body = await read_body(request, RECEIPTS_LIMIT)
    try:
        reported = adapter.parse_receipts(request.headers, body, request.scope["query_string"].decode("latin-1"))
    except ForgedReceipt as error:
        log.warning("receipt refused", provider=provider, reason=str(error))
        raise Problem(401, kind=FORGED) from None
    except UnreadableReceipt as error:
        log.warning("receipt refused", provider=provider, reason=str(error))
        raise Problem(400, "The body is not what this provider sends.") from None
    async with parts.database.transaction() as session:
        await _keep(session, provider, reported)
    parts.on_receipts()
    return Response(status_code=204)


async def _keep(session: AsyncSession, provider: str, reported: list[ProviderReceipt]) -> None:
    """What somebody wrote to us is about no message and obeyed at once; a callback that is repeated, once."""
    rows = [_stored(provider, receipt) for receipt in reported]
    new = await receipts.store(session, rows)
    for row, receipt in zip(rows, reported, strict=True):
        if receipt.phone is not None and row.id in new:
            await OBEY[receipt.kind](session, provider, receipt.phone)
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
        raw=receipt.raw,
    )
