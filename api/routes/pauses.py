"""Routes that pause and resume a provider, a channel or a type. Paused messages wait, and are released at the resume
rate.

A pause holds only the caller's tenant. Once it is committed, the guard of every delivery applies it.
"""

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.paging import Page, PagingDep
from api.routes.notification_types import type_not_found
from api.routes.providers import get_provider
from api.schemas.base import ChannelName
from api.schemas.pauses import PauseBody, PauseState, PauseView
from bootstrap import Container
from domain.audit import Caller
from domain.holds import HoldKind
from domain.json_types import Json
from storage import audit, holds, notification_types
from storage.holds import ListedPause

router = APIRouter(tags=["pauses"], route_class=AuthenticatedRoute)


@router.get("/pauses")
@scope("read")
async def list_pauses(caller: CallerDep, container: ContainerDep, paging: PagingDep) -> Page[PauseView]:
    """List pauses, newest first: since when, by which key, and how many messages wait."""
    async with container.database.transaction() as session:
        rows = await holds.list_page(session, caller.tenant, before=paging.after_id, limit=paging.fetch_limit)
    return paging.page(rows, lambda row: row.id, _view)


@router.post("/providers/{name}/pause")
@scope("manage")
async def pause_provider(
    name: str, caller: CallerDep, container: ContainerDep, body: PauseBody | None = None
) -> PauseState:
    """Pause a provider. Its messages wait, even if the pool has another provider."""
    get_provider(container, name)
    return await _pause(container, caller, HoldKind.PROVIDER, name, body)


@router.post("/providers/{name}/resume")
@scope("manage")
async def resume_provider(name: str, caller: CallerDep, container: ContainerDep) -> PauseState:
    """Release the provider's waiting messages, most urgent first. A provider that left all pools can be resumed."""
    if not await _resume(container, caller, HoldKind.PROVIDER, name):
        get_provider(container, name)
    return PauseState(paused=False)


@router.post("/channels/{channel}/pause")
@scope("manage")
async def pause_channel(
    channel: ChannelName, caller: CallerDep, container: ContainerDep, body: PauseBody | None = None
) -> PauseState:
    """Pause a channel. Other channels of the same notifications continue."""
    return await _pause(container, caller, HoldKind.CHANNEL, channel, body)


@router.post("/channels/{channel}/resume")
@scope("manage")
async def resume_channel(channel: ChannelName, caller: CallerDep, container: ContainerDep) -> PauseState:
    """Release the channel's waiting messages, most urgent first."""
    await _resume(container, caller, HoldKind.CHANNEL, channel)
    return PauseState(paused=False)


@router.post("/notification-types/{key}/pause")
@scope("manage")
async def pause_type(key: str, caller: CallerDep, container: ContainerDep, body: PauseBody | None = None) -> PauseState:
    """Pause a notification type. Its sends are accepted and wait."""
    await _check_type(container, caller, key)
    return await _pause(container, caller, HoldKind.TYPE, key, body)


@router.post("/notification-types/{key}/resume")
@scope("manage")
async def resume_type(key: str, caller: CallerDep, container: ContainerDep) -> PauseState:
    """Release the type's waiting messages, most urgent first. Deleted types can be resumed too."""
    if not await _resume(container, caller, HoldKind.TYPE, key):
        await _check_type(container, caller, key, deleted=True)
    return PauseState(paused=False)


async def _pause(container: Container, caller: Caller, kind: HoldKind, name: str, body: PauseBody | None) -> PauseState:
    async with container.database.transaction() as session:
        reason = body.reason if body else None
        if await holds.pause(session, caller.tenant, kind, name, reason, caller.actor.name):
            after = {"paused": True, "reason": reason}
            await _record_change(session, caller, kind, name, "paused", {"paused": False, "reason": None}, after)
    return PauseState(paused=True)


async def _resume(container: Container, caller: Caller, kind: HoldKind, name: str) -> bool:
    """Return whether it was paused."""
    async with container.database.transaction() as session:
        lifted = await holds.resume(session, caller.tenant, kind, name)
        if lifted:
            await _record_change(session, caller, kind, name, "resumed", {"paused": True}, {"paused": False})
        return lifted


async def _record_change(
    session: AsyncSession, caller: Caller, kind: HoldKind, name: str, verb: str, before: Json | None, after: Json | None
) -> None:
    word = _kind_name(kind)
    await audit.record_change(session, caller.change(f"{word}.{verb}", f"{word}/{name}", before, after))


def _kind_name(kind: HoldKind) -> str:
    return "notification_type" if kind is HoldKind.TYPE else str(kind)


def _view(listed: ListedPause) -> PauseView:
    pause = listed.pause
    words = {"kind": _kind_name(pause.kind), "name": pause.name, "by": pause.by, "reason": pause.reason}
    return PauseView.model_validate({**words, "since": pause.since, "waiting": listed.waiting})


async def _check_type(container: Container, caller: Caller, key: str, *, deleted: bool = False) -> None:
    find = notification_types.find_newest if deleted else notification_types.find_current
    async with container.database.transaction() as session:
        if await find(session, caller.tenant, key) is None:
            raise type_not_found()
