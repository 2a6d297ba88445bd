"""Routes of attachments: files that are uploaded once and sent by id."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.limits.rate_limits import charge
from api.limits.upload_slots import UploadSlots, read_chunks
from api.openapi import problem_response, problem_responses
from api.problems import conflict, invalid, not_found
from api.schemas.attachments import AttachmentName, AttachmentView
from config import Settings
from domain.attachments import MAX_SIZE, find_name_problem, parse_content_type
from metrics.engine import ReachedLimit, count_limit_reached
from models.attachments import CHUNK_SIZE
from services.attachment_uploads import AttachmentUploads
from storage import attachments
from storage.attachments import StoredAttachment, TooManyBytesStored

router = APIRouter(route_class=AuthenticatedRoute, prefix="/attachments", tags=["attachments"])

CHUNK_POINTS = 10
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": AttachmentView, "description": "The tenant has this content under this name and type already"},
    413: problem_response(413, f"The body has more than {MAX_SIZE} bytes"),
    **problem_responses(409),
}
REQUEST_BODY = {
    "required": True,
    "description": "The content of the file itself, at most 10 MB; Content-Type is that of the file.",
    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
}


@router.post("", status_code=201, responses=RESPONSES, openapi_extra={"requestBody": REQUEST_BODY})
@scope("send", max_body=MAX_SIZE)
async def upload_attachment(
    name: AttachmentName, request: Request, caller: CallerDep, container: ContainerDep, response: Response
) -> AttachmentView:
    """Upload a file for emails. The same content, name and type is one attachment, however often it is uploaded."""
    content_type = _check_headers(name, request)
    settings = container.settings
    uploads = AttachmentUploads(
        database=container.database,
        body_timeout=settings.body_timeout,
        max_bytes=settings.attachment_bytes_per_tenant,
    )
    slots: UploadSlots = request.app.state.upload_slots
    async with slots.take(caller.tenant):
        try:
            stored, is_new = await uploads.store(caller.tenant, name, content_type, _charged_chunks(request))
        except TooManyBytesStored:
            count_limit_reached(ReachedLimit.ATTACHMENT_BYTES)
            raise conflict(_over_limit(settings)) from None
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/api/v1/attachments/{stored.id}"
    return _view(stored, settings)


@router.get("/{id}")
@scope("read")
async def get_attachment(id: UUID, caller: CallerDep, container: ContainerDep) -> AttachmentView:
    """Return the metadata of one attachment."""
    async with container.database.statement() as session:
        found = await attachments.find_attachments(session, caller.tenant, [id])
    if id not in found:
        raise not_found("There is no such attachment.")
    return _view(found[id], container.settings)


def _check_headers(name: str, request: Request) -> str:
    """Return the content type. Raise Problem 422 for a refused name or type, before the body is read."""
    if problem := find_name_problem(name):
        raise invalid({"parameter": "name", "detail": problem})
    if request.headers.get("content-encoding", "identity") != "identity":
        raise invalid({"parameter": "Content-Encoding", "detail": "must not be set; send the file as it is"})
    try:
        return parse_content_type(request.headers.get("content-type", ""))
    except ValueError as error:
        raise invalid({"parameter": "Content-Type", "detail": str(error)}) from None


async def _charged_chunks(request: Request) -> AsyncIterator[bytes]:
    async for chunk in read_chunks(request, MAX_SIZE, CHUNK_SIZE):
        await charge(request, CHUNK_POINTS)
        yield chunk


def _over_limit(settings: Settings) -> str:
    return (
        f"The tenant may store at most {settings.attachment_bytes_per_tenant} bytes of attachments. "
        f"They are deleted {settings.attachment_days} days after their last use."
    )


def _view(stored: StoredAttachment, settings: Settings) -> AttachmentView:
    return AttachmentView(
        id=stored.id,
        name=stored.name,
        content_type=stored.content_type,
        size=stored.size,
        sha256=stored.sha256,
        created_at=stored.created_at,
        expires_at=stored.last_used_at + timedelta(days=settings.attachment_days),
    )
