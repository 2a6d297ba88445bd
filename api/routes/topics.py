"""Topics: who is subscribed to what. One is there as long as somebody is."""

from fastapi import APIRouter

from api.callers import CallerDep
from api.front_door import FrontDoor, scope
from api.paging import Page, PagingDep
from api.parts import PartsDep
from api.problems import not_found
from api.schemas.base import Key
from api.schemas.contact import RecipientId
from api.schemas.topics import SubscriberView, TopicView
from storage import topics

router = APIRouter(route_class=FrontDoor, prefix="/topics", tags=["topics"])


@router.put("/{key}/subscribers/{recipient_id}", status_code=204)
@scope("manage")
async def subscribe(key: Key, recipient_id: RecipientId, caller: CallerDep, parts: PartsDep) -> None:
    """From now on; once, however often it is asked. Preferences are obeyed all the same."""
    async with parts.database.transaction() as session:
        if not await topics.subscribe(session, caller.tenant, key, recipient_id):
            raise not_found("There is no such recipient.")


@router.delete("/{key}/subscribers/{recipient_id}", status_code=204)
@scope("manage")
async def unsubscribe(key: Key, recipient_id: RecipientId, caller: CallerDep, parts: PartsDep) -> None:
    """What was accepted for them before is still sent."""
    async with parts.database.transaction() as session:
        if not await topics.unsubscribe(session, caller.tenant, key, recipient_id):
            raise not_found("There is no such subscriber.")


@router.get("")
@scope("read")
async def list_topics(caller: CallerDep, parts: PartsDep, paging: PagingDep) -> Page[TopicView]:
    """Those with subscribers, by key."""
    async with parts.database.transaction() as session:
        rows = await topics.listed(session, caller.tenant, paging.after, paging.fetch)
    return paging.page(rows, lambda row: row[0], lambda row: TopicView(key=row[0], subscribers=row[1]))


@router.get("/{key}/subscribers")
@scope("read")
async def list_subscribers(key: Key, caller: CallerDep, parts: PartsDep, paging: PagingDep) -> Page[SubscriberView]:
    """By id; empty for a topic that nobody has."""
    async with parts.database.transaction() as session:
        rows = await topics.subscribers(session, caller.tenant, key, paging.after, paging.fetch)
    return paging.page(rows, lambda row: row, lambda row: SubscriberView(recipient_id=row))
