"""Pausing a provider, a channel or a type: what is due waits and is not lost; resuming lets it go on, paced.

A pause holds the caller's own tenant; the guard of every delivery obeys it from its commit on.
"""

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from api import auditing
from api.auditing import Values
from api.callers import Caller, CallerDep
from api.front_door import FrontDoor, scope
from api.paging import Page, PagingDep
from api.parts import PartsDep
from api.routes.notification_types import unknown
from api.routes.providers import known_provider
from api.schemas.base import ChannelName
from api.schemas.pauses import Pause, PauseBody, PauseView
from bootstrap import Parts
from domain.holds import HoldKind
from storage import holds, notification_types, pauses
from storage.pauses import ListedPause

router = APIRouter(tags=["pauses"], route_class=FrontDoor)


@router.get("/pauses")
@scope("read")
async def list_pauses(caller: CallerDep, parts: PartsDep, paging: PagingDep) -> Page[PauseView]:
    """What is paused: since when, by whom, and how many messages wait. Newest first."""
    async with parts.database.transaction() as session:
        rows = await pauses.page(session, caller.tenant, before=paging.after_id, limit=paging.fetch)
    return paging.page(rows, lambda row: row.id, _view)


@router.post("/providers/{name}/pause")
@scope("manage")
async def pause_provider(name: str, caller: CallerDep, parts: PartsDep, body: PauseBody | None = None) -> Pause:
    """Its messages wait, also where the pool has another provider."""
    known_provider(parts, name)
    return await _pause(parts, caller, HoldKind.PROVIDER, name, body)


@router.post("/providers/{name}/resume")
@scope("manage")
async def resume_provider(name: str, caller: CallerDep, parts: PartsDep) -> Pause:
    """Release what waits for it, the most urgent first. A paused provider that left the pools can be resumed once."""
    if not await _lifted(parts, caller, HoldKind.PROVIDER, name):
        known_provider(parts, name)
    return Pause(paused=False)


@router.post("/channels/{channel}/pause")
@scope("manage")
async def pause_channel(
    channel: ChannelName, caller: CallerDep, parts: PartsDep, body: PauseBody | None = None
) -> Pause:
    """Everything on this channel waits; other channels of the same notifications do not."""
    return await _pause(parts, caller, HoldKind.CHANNEL, channel, body)


@router.post("/channels/{channel}/resume")
@scope("manage")
async def resume_channel(channel: ChannelName, caller: CallerDep, parts: PartsDep) -> Pause:
    """Release what waits for it, the most urgent first."""
    await _lifted(parts, caller, HoldKind.CHANNEL, channel)
    return Pause(paused=False)


@router.post("/notification-types/{key}/pause")
@scope("manage")
async def pause_type(key: str, caller: CallerDep, parts: PartsDep, body: PauseBody | None = None) -> Pause:
    """Sends of this type are accepted, and wait."""
    await _known_type(parts, caller, key)
    return await _pause(parts, caller, HoldKind.TYPE, key, body)


@router.post("/notification-types/{key}/resume")
@scope("manage")
async def resume_type(key: str, caller: CallerDep, parts: PartsDep) -> Pause:
    """Release what waits for it, the most urgent first. Types that were deleted can be resumed too."""
    if not await _lifted(parts, caller, HoldKind.TYPE, key):
        await _known_type(parts, caller, key, deleted=True)
    return Pause(paused=False)


async def _pause(parts: Parts, caller: Caller, kind: HoldKind, name: str, body: PauseBody | None) -> Pause:
    async with parts.database.transaction() as session:
        reason = body.reason if body else None
        if await holds.pause(session, caller.tenant, kind, name, reason, caller.actor.name):
            after = {"paused": True, "reason": reason}
            await _note(session, caller, kind, name, "paused", {"paused": False, "reason": None}, after)
    return Pause(paused=True)


async def _lifted(parts: Parts, caller: Caller, kind: HoldKind, name: str) -> bool:
    """Return False if it was not paused."""
    async with parts.database.transaction() as session:
        lifted = await holds.resume(session, caller.tenant, kind, name)
        if lifted:
            await _note(session, caller, kind, name, "resumed", {"paused": True}, {"paused": False})
        return lifted


async def _note(
    session: AsyncSession, caller: Caller, kind: HoldKind, name: str, verb: str, before: Values, after: Values
) -> None:
    word = _word(kind)
    await auditing.note(session, caller, f"{word}.{verb}", f"{word}/{name}", before, after)


def _word(kind: HoldKind) -> str:
    return "notification_type" if kind is HoldKind.TYPE else str(kind)


def _view(listed: ListedPause) -> PauseView:
    pause = listed.pause
    words = {"kind": _word(pause.kind), "name": pause.name, "by": pause.by, "reason": pause.reason}
    return PauseView.model_validate({**words, "since": pause.since, "waiting": listed.waiting})


async def _known_type(parts: Parts, caller: Caller, key: str, *, deleted: bool = False) -> None:
    find = notification_types.newest if deleted else notification_types.current
    async with parts.database.transaction() as session:
        if await find(session, caller.tenant, key) is None:
            raise unknown()
