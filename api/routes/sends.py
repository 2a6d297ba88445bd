"""Routes of `POST /notifications/send` and `send-batch`. They accept notifications; the dispatcher starts them."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from api.authenticated_route import AuthenticatedRoute, scope
from api.dry_run_views import dry_run_view
from api.limits.rate_limits import RENDER_POINTS, charge
from api.problems import invalid
from api.schemas.dry_runs import DryRunResponse
from api.schemas.send_responses import (
    BatchItemResponse,
    BatchResponse,
    MultiSendResponse,
    SendEntryResponse,
    SendResponse,
)
from api.schemas.sends import BatchRequest, IdempotencyKey, SendBody
from api.send_bodies import BATCH_LIMIT, BATCH_VALUE_LIMIT, parse_item, read_entries, send_command
from domain.json_types import Json
from domain.statuses import NotificationStatus
from domain.time_slices import in_slices
from domain.validation_issues import issue_at
from services.multi_sends import EntryResult, MultiSendCommand
from services.send_commands import AcceptedSend, ErrorListing, RejectedItem, SendCommand, SendResult, body_hash_of
from services.wiring import SendServices

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
        return await _send_to_several(body, raw_body, idempotency_key, request, response)
    command = send_command(body, idempotency_key, body_hash_of(raw_body, idempotency_key))
    if body.dry_run:
        return Response((await _predict(command, request)).model_dump_json(), media_type="application/json")
    await charge(request, command.copies)
    [result] = await _services_of(request).acceptance.accept(request.state.caller, [command])
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
    """Accept up to 1,000 sends and return a result for each. The default key of an item is `{header key}:{index}`."""
    await charge(request, len(body.items) - 1)
    parsed = [
        parse_item(item, f"{idempotency_key}:{index}" if idempotency_key else None)
        async for index, item in in_slices(enumerate(body.items))
    ]
    commands = {index: command for index, command in enumerate(parsed) if isinstance(command, SendCommand)}
    await charge(request, sum(command.copies for command in commands.values()))
    results = await _services_of(request).acceptance.accept(request.state.caller, list(commands.values()))
    results_by_index = dict(zip(commands, results, strict=True))
    return BatchResponse(
        items=list(_batch_items([results_by_index.get(index, failed) for index, failed in enumerate(parsed)]))
    )


def _services_of(request: Request) -> SendServices:
    """Return the services of the application. Not a dependency, because FastAPI spends more time on three of them than
    the rest of a send takes."""
    services: SendServices = request.app.state.send_services
    return services


async def _send_to_several(
    body: SendBody, raw_body: Json, key: str | None, request: Request, response: Response
) -> MultiSendResponse:
    send = MultiSendCommand(
        topic=body.topic,
        read_entries=partial(read_entries, body, raw_body),
        key=key,
        body_hash=body_hash_of(raw_body, key),
    )
    results, replayed = await _services_of(request).multi_sends.accept(
        request.state.caller, send, partial(charge, request)
    )
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return MultiSendResponse(items=[_entry_response(index, entry) for index, entry in enumerate(results)])


def _entry_response(index: int, entry: EntryResult) -> SendEntryResponse:
    """Return the response of an entry. A result without errors is an id."""
    return SendEntryResponse(index=index, recipient_id=entry.recipient_id, **{"status": 202, **entry.result})


async def _predict(command: SendCommand, request: Request) -> DryRunResponse:
    async def charge_renders(channels: int) -> None:
        await charge(request, RENDER_POINTS * channels)

    return dry_run_view(await _services_of(request).dry_runs.predict(request.state.caller, command, charge_renders))


def _batch_items(results: Iterable[SendResult | SendCommand | RejectedItem]) -> Iterator[BatchItemResponse]:
    listed = ErrorListing()
    for index, result in enumerate(results):
        if isinstance(result, SendCommand):
            raise LookupError("a batch item has no result")
        if isinstance(result, AcceptedSend):
            yield BatchItemResponse(index=index, status=202, id=result.values["id"], replayed=result.replayed)
        else:
            yield BatchItemResponse(index=index, **listed.error_fields(result))
