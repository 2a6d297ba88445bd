"""Route that lists the messages of recipients. Callbacks of providers add them."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.paging import Page, PagingDep
from api.schemas.inbound_messages import InboundMessageView
from storage import inbound_messages
from storage.inbound_messages import StoredInboundMessage

router = APIRouter(route_class=AuthenticatedRoute, tags=["inbound messages"])


@router.get("/inbound-messages")
@scope("read")
async def list_inbound_messages(
    caller: CallerDep,
    container: ContainerDep,
    paging: PagingDep,
    recipient_id: Annotated[str | None, Query(max_length=255)] = None,
) -> Page[InboundMessageView]:
    """List SMS that recipients have sent, newest first. They are kept as long as the content of notifications."""
    async with container.database.transaction() as session:
        rows = await inbound_messages.list_page(
            session, caller.tenant, recipient_id, before=paging.after_id, limit=paging.fetch_limit
        )
    return paging.page(rows, lambda row: row.id, _view)


def _view(row: StoredInboundMessage) -> InboundMessageView:
    return InboundMessageView(**{name: getattr(row, name) for name in row.__slots__})
