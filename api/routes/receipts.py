"""Providers' callbacks: verified over the raw bytes, stored, answered; applied afterwards."""

import json

from fastapi import APIRouter, Request, Response

from api.front_door import FrontDoor, public, read_body
from api.parts import PartsDep
from api.problems import Problem, not_found
from domain.names import derived_id
from providers.base import ForgedReceipt, ProviderReceipt, UnreadableReceipt
from storage import receipts
from storage.receipts import StoredReceipt

router = APIRouter(route_class=FrontDoor, tags=["receipts"])

RECEIPTS_LIMIT = 1024 * 1024


@router.post("/receipts/{provider}", status_code=204)
@public
async def take_receipts(provider: str, request: Request, parts: PartsDep) -> Response:
    """No key: the provider's signature. 2xx as soon as they are stored, whether or not they match anything yet."""
    adapter = parts.providers.get(provider)
    if adapter is None or not adapter.parses_receipts:
        raise not_found("This provider is not configured.")
    body = await read_body(request, RECEIPTS_LIMIT)
    try:
        reported = adapter.parse_receipts(request.headers, body, request.scope["query_string"].decode("latin-1"))
    except ForgedReceipt:
        raise Problem(401, "The signature is missing or wrong.") from None
    except UnreadableReceipt:
        raise Problem(400, "The body is not what this provider sends.") from None
    async with parts.database.transaction() as session:
        await receipts.store(session, [_stored(provider, receipt) for receipt in reported])
    parts.on_receipts()
    return Response(status_code=204)


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
