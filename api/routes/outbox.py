"""What the sandbox "delivered", in dev only: there is no outbox where people get real messages."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.callers import CallerDep
from api.front_door import FrontDoor, scope
from api.openapi import answers
from api.paging import Page, PagingDep
from api.parts import PartsDep
from api.places import before
from api.problems import not_found
from api.schemas.contact import RecipientId
from api.schemas.outbox import OutboxItem
from domain.channels import Channel
from domain.places import place_text
from storage import outbox
from storage.outbox import Entry

router = APIRouter(route_class=FrontDoor, tags=["outbox"])


@router.get("/outbox", responses=answers(404))
@scope("read")
async def list_outbox(
    caller: CallerDep,
    parts: PartsDep,
    paging: PagingDep,
    recipient_id: Annotated[RecipientId | None, Query()] = None,
    channel: Channel | None = None,
) -> Page[OutboxItem]:
    """What the sandbox delivered and the in-app messages, newest first; 404 outside `TOCSIN_ENV=dev`."""
    if not parts.settings.dev:
        raise not_found()
    async with parts.database.transaction() as session:
        entries = await outbox.page(
            session,
            caller.tenant,
            recipient_id=recipient_id,
            channel=channel,
            limit=paging.fetch,
            before=before(paging),
        )
    return paging.page(entries, lambda entry: place_text(entry.accepted_at, entry.id), _item)


def _item(entry: Entry) -> OutboxItem:
    shown = set(entry.__slots__) - {"generation"}
    return OutboxItem(**{name: getattr(entry, name) for name in shown})
