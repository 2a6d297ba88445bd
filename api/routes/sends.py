"""Routes of `POST /notifications/send` and `send-batch`. They accept notifications; the dispatcher starts them."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from api.acceptance import AcceptedSend, SendCommand, acceptance_of, body_hash_of
from api.authenticated_route import AuthenticatedRoute, scope
from api.batch_items import BATCH_LIMIT, BATCH_VALUE_LIMIT, batch_response, parse_item
from api.dry_runs import dry_run
from api.multi_sends import multi_sends_of
from api.problems import invalid, issue_at
from api.rate_limits import charge
from api.schemas.dry_runs import DryRunResponse
from api.schemas.sends import BatchRequest, BatchResponse, IdempotencyKey, MultiSendResponse, SendBody, SendResponse
from domain.statuses import NotificationStatus
from domain.time_slices import in_slices

router = APIRouter(route_class=AuthenticatedRoute, tags=["notifications"], prefix="/notifications")

IdempotencyKeyHeader = Annotated[IdempotencyKey | None, Header(alias="Idempotency-Key")]
RESPONSE_HEADERS = {
    "Location": {"description": "URL of the notification, for a send to one recipient", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true` if an earlier request with this key was accepted",
        "schema": {"type": "string"},
    },
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": DryRunResponse, "description": "With `dry_run`: the prediction of the send"},
    202: {"headers": RESPONSE_HEADERS},
}
DRY_RUN_OF_SEVERAL = issue_at("/dry_run", "needs a send to one recipient")


@router.post("/send", status_code=202, response_model=SendResponse | MultiSendResponse, responses=RESPONSES)
@scope("send")
async def send_notification(
    body: SendBody, request: Request, response: Response, idempotency_key: IdempotencyKeyHeader = None
) -> SendResponse | MultiSendResponse | Response:
    """Accept a notification. 202: it is stored and will reach a final status. `dry_run` (200) stores nothing."""
    raw_body = {name: value for name, value in (await request.json()).items() if name != "dry_run"}
    if body.recipients is not None or body.topic is not None:
        if body.dry_run:
            raise invalid(DRY_RUN_OF_SEVERAL)
        items, replayed = await multi_sends_of(request).accept(body, raw_body, idempotency_key)
        if replayed:
            response.headers["Idempotent-Replayed"] = "true"
        return MultiSendResponse(items=items)
    command = SendCommand(request=body, key=idempotency_key, body_hash=body_hash_of(raw_body, idempotency_key))
    if body.dry_run:
        return Response((await dry_run(request, command)).model_dump_json(), media_type="application/json")
    [result] = await acceptance_of(request).accept([command])
    if not isinstance(result, AcceptedSend):
        raise invalid(*result)
    if result.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/api/v1/notifications/{result.values['id']}"
    return SendResponse(status=NotificationStatus.PENDING, **result.values)


@router.post("/send-batch", status_code=202)
@scope("send", max_body=BATCH_LIMIT, max_values=BATCH_VALUE_LIMIT)
async def send_batch(
    body: BatchRequest, request: Request, idempotency_key: IdempotencyKeyHeader = None
) -> BatchResponse:
    """Accept up to 1,000 sends and return a result for each. Items without a key get `{header key}:{index}`."""
    await charge(request, len(body.items) - 1)
    parsed = [
        parse_item(item, f"{idempotency_key}:{index}" if idempotency_key else None)
        async for index, item in in_slices(enumerate(body.items))
    ]
    commands = {index: command for index, command in enumerate(parsed) if isinstance(command, SendCommand)}
    results = await acceptance_of(request).accept(list(commands.values()))
    results_by_index = dict(zip(commands, results, strict=True))
    return BatchResponse(
        items=batch_response([results_by_index.get(index, failed) for index, failed in enumerate(parsed)])
    )
