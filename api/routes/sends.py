"""`POST /notifications/send` and `send-batch`: accepted here, started by the dispatcher."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from api.acceptance import Ask, Taken, acceptance_of, digest_of
from api.batch_items import BATCH_LIMIT, BATCH_VALUE_LIMIT, batch_response, read_item
from api.dry_runs import dry_run
from api.front_door import FrontDoor, scope
from api.multi_sends import multi_sends_of
from api.problems import at, invalid
from api.rate_limits import charge
from api.schemas.dry_runs import DryRun
from api.schemas.sends import BatchAnswer, BatchRequest, IdempotencyKey, SendBody, Sent, SentToSeveral
from domain.statuses import NotificationStatus
from domain.time_slices import in_slices

router = APIRouter(route_class=FrontDoor, tags=["notifications"], prefix="/notifications")

KeyHeader = Annotated[IdempotencyKey | None, Header(alias="Idempotency-Key")]
HEADERS = {
    "Location": {"description": "where to look at it; of a send to one recipient", "schema": {"type": "string"}},
    "Idempotent-Replayed": {"description": "`true`: it stands since an earlier request", "schema": {"type": "string"}},
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": DryRun, "description": "With `dry_run`: what the send would do"},
    202: {"headers": HEADERS},
}
DRY_RUN_OF_SEVERAL = at("/dry_run", "is for a send to one recipient")


@router.post("/send", status_code=202, response_model=Sent | SentToSeveral, responses=RESPONSES)
@scope("send")
async def send_notification(
    body: SendBody, request: Request, response: Response, idempotency_key: KeyHeader = None
) -> Sent | SentToSeveral | Response:
    """202 means durable: each notification reaches its end, whatever is restarted. `dry_run` (200) sends nothing."""
    given = {name: value for name, value in (await request.json()).items() if name != "dry_run"}
    if body.recipients is not None or body.topic is not None:
        if body.dry_run:
            raise invalid(DRY_RUN_OF_SEVERAL)
        items, replayed = await multi_sends_of(request).accept(body, given, idempotency_key)
        if replayed:
            response.headers["Idempotent-Replayed"] = "true"
        return SentToSeveral(items=items)
    ask = Ask(request=body, key=idempotency_key, digest=digest_of(given, idempotency_key))
    if body.dry_run:
        return Response((await dry_run(request, ask)).model_dump_json(), media_type="application/json")
    [answer] = await acceptance_of(request).take([ask])
    if not isinstance(answer, Taken):
        raise invalid(*answer)
    if answer.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/api/v1/notifications/{answer.values['id']}"
    return Sent(status=NotificationStatus.PENDING, **answer.values)


@router.post("/send-batch", status_code=202)
@scope("send", max_body=BATCH_LIMIT, max_values=BATCH_VALUE_LIMIT)
async def send_batch(body: BatchRequest, request: Request, idempotency_key: KeyHeader = None) -> BatchAnswer:
    """Accept up to 1,000 sends and answer each. A header key counts as `{key}:{index}` for items without one."""
    await charge(request, len(body.items) - 1)
    read = [
        read_item(item, f"{idempotency_key}:{index}" if idempotency_key else None)
        async for index, item in in_slices(enumerate(body.items))
    ]
    asks = {index: ask for index, ask in enumerate(read) if isinstance(ask, Ask)}
    taken = await acceptance_of(request).take(list(asks.values()))
    given = dict(zip(asks, taken, strict=True))
    return BatchAnswer(items=batch_response([given.get(index, failed) for index, failed in enumerate(read)]))
