"""`POST /notifications/send` and `send-batch`: accepted here, started by the dispatcher."""

import json
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from pydantic import ValidationError

from api.acceptance import Acceptance, Answer, Ask, Json, Taken, digest_of
from api.callers import CallerDep
from api.front_door import BODY_LIMIT, FrontDoor, scope
from api.parts import PartsDep
from api.problems import Fault, at, invalid
from api.schemas.notifications import (
    BatchAnswer,
    BatchItem,
    BatchRequest,
    IdempotencyKey,
    SendItem,
    SendRequest,
    Sent,
)
from api.violations import faults_of
from domain.statuses import NotificationStatus

router = APIRouter(route_class=FrontDoor, tags=["notifications"], prefix="/notifications")

BATCH_LIMIT = 8 * 1024 * 1024
KeyHeader = Annotated[IdempotencyKey | None, Header(alias="Idempotency-Key")]
HEADERS = {
    "Location": {"description": "where to look at it", "schema": {"type": "string"}},
    "Idempotent-Replayed": {"description": "`true`: it stands since an earlier request", "schema": {"type": "string"}},
}


@router.post("/send", status_code=202, responses={202: {"headers": HEADERS}})
@scope("send")
async def send_notification(
    body: SendRequest,
    caller: CallerDep,
    parts: PartsDep,
    request: Request,
    response: Response,
    idempotency_key: KeyHeader = None,
) -> Sent:
    """202 means durable: the notification will reach its end, whatever is restarted in between."""
    ask = Ask(request=body, key=idempotency_key, digest=digest_of(await request.json()))
    [answer] = await Acceptance(parts, caller).take([ask])
    if not isinstance(answer, Taken):
        raise invalid(*answer)
    if answer.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/api/v1/notifications/{answer.values['id']}"
    return Sent(status=NotificationStatus.PENDING, **answer.values)


@router.post("/send-batch", status_code=202)
@scope("send", max_body=BATCH_LIMIT)
async def send_batch(
    body: BatchRequest, caller: CallerDep, parts: PartsDep, idempotency_key: KeyHeader = None
) -> BatchAnswer:
    """Up to 1,000 sends, each answered by itself. A header key counts as `{key}:{index}` for items without one."""
    read = [
        _read(item, f"{idempotency_key}:{index}" if idempotency_key else None) for index, item in enumerate(body.items)
    ]
    asks = {index: ask for index, ask in enumerate(read) if isinstance(ask, Ask)}
    taken = await Acceptance(parts, caller).take(list(asks.values()))
    answers = dict(zip(asks, taken, strict=True))
    return BatchAnswer(items=[_item(index, answers.get(index), failed) for index, failed in enumerate(read)])


def _read(item: Json, key: str | None) -> Ask | BatchItem:
    if len(json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()) > BODY_LIMIT:
        return BatchItem(index=0, status=413, errors=[_shown(at("", f"an item may have at most {BODY_LIMIT} bytes"))])
    try:
        request = SendItem.model_validate(item)
    except ValidationError as error:
        return BatchItem(index=0, status=422, errors=[_shown(fault) for fault in _faults(error, item)])
    own = {name: value for name, value in item.items() if name != "idempotency_key"}
    return Ask(request=request, key=request.idempotency_key or key, digest=digest_of(own))


def _item(index: int, answer: Answer | None, read: Ask | BatchItem) -> BatchItem:
    if isinstance(answer, Taken):
        return BatchItem(index=index, status=202, id=answer.values["id"], replayed=answer.replayed)
    if answer is not None:
        return BatchItem(index=index, status=422, errors=[_shown(fault) for fault in answer])
    if isinstance(read, Ask):
        raise LookupError("an ask without an answer")
    return read.model_copy(update={"index": index})


def _faults(error: ValidationError, item: Json) -> list[Fault]:
    return faults_of([{**one, "loc": ("body", *one["loc"])} for one in error.errors()], item)


def _shown(fault: Fault) -> dict[str, str]:
    return {name: str(value) for name, value in fault.items()}
