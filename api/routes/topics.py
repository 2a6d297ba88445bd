"""Routes of topics and their subscribers. A topic exists while it has a subscriber."""

from fastapi import APIRouter

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.paging import Page, PagingDep
from api.problems import not_found
from api.schemas.base import Key
from api.schemas.contact import RecipientId
from api.schemas.recipients import SubscriberView, TopicView
from storage import recipients

router = APIRouter(route_class=AuthenticatedRoute, prefix="/topics", tags=["topics"])


@router.put("/{key}/subscribers/{recipient_id}", status_code=204)
@scope("manage")
async def subscribe(key: Key, recipient_id: RecipientId, caller: CallerDep, container: ContainerDep) -> None:
    """Subscribe a recipient to a topic. Idempotent. Preferences still apply."""
    async with container.database.transaction() as session:
        if not await recipients.subscribe(session, caller.tenant, key, recipient_id):
            raise not_found("There is no such recipient.")


@router.delete("/{key}/subscribers/{recipient_id}", status_code=204)
@scope("manage")
async def unsubscribe(key: Key, recipient_id: RecipientId, caller: CallerDep, container: ContainerDep) -> None:
    """Unsubscribe a recipient. Notifications that were accepted before are still sent."""
    async with container.database.transaction() as session:
        if not await recipients.unsubscribe(session, caller.tenant, key, recipient_id):
            raise not_found("There is no such subscriber.")


@router.get("")
@scope("read")
async def list_topics(caller: CallerDep, container: ContainerDep, paging: PagingDep) -> Page[TopicView]:
    """List topics that have subscribers, by key."""
    async with container.database.transaction() as session:
        rows = await recipients.list_topics(session, caller.tenant, paging.after, paging.fetch_limit)
    return paging.page(rows, lambda row: row[0], lambda row: TopicView(key=row[0], subscribers=row[1]))


@router.get("/{key}/subscribers")
@scope("read")
async def list_subscribers(
    key: Key, caller: CallerDep, container: ContainerDep, paging: PagingDep
) -> Page[SubscriberView]:
    """List the subscribers of a topic, by id. Empty for a topic without subscribers."""
    async with container.database.transaction() as session:
        rows = await recipients.list_subscribers(session, caller.tenant, key, paging.after, paging.fetch_limit)
    return paging.page(rows, lambda row: row, lambda row: SubscriberView(recipient_id=row))
