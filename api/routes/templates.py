"""Templates: save a version, publish it, go back, look at it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import auditing
from api.callers import Caller, CallerDep
from api.front_door import FrontDoor, scope
from api.openapi import answers
from api.paging import Page, PagingDep
from api.parts import PartsDep
from api.problems import at, conflict, invalid, not_found
from api.rate_limits import COMPILE_POINTS, charge
from api.schemas.base import ChannelName
from api.schemas.templates import Language, SavedTemplate, Target, TemplateAnswer, TemplateBody, VersionTarget
from api.template_checks import warnings_for
from domain.templates import version_before
from storage import notification_types, template_lists, templates
from storage.catalog import announce
from storage.template_lists import Filter, Listed
from storage.templates import Place

Name = Annotated[str, Path()]
ChannelQuery = Annotated[ChannelName | None, Query()]
LanguageQuery = Annotated[Language | None, Query()]

router = APIRouter(prefix="/templates", tags=["templates"], route_class=FrontDoor)


@router.post("", status_code=201, response_model=SavedTemplate)
@scope("manage")
async def save_template(
    body: TemplateBody, request: Request, response: Response, caller: CallerDep, parts: PartsDep
) -> SavedTemplate:
    """Every save is a new version; with `publish` it is used from now on."""
    await charge(request, COMPILE_POINTS)
    async with parts.database.transaction() as session:
        digest = await notification_types.is_collected(session, caller.tenant, body.name)
    warnings = await warnings_for(parts.renderer, body, tenant=caller.tenant, digest=digest)
    place = Place(tenant=caller.tenant, name=body.name, channel=body.channel, language=body.language)
    async with parts.database.transaction() as session:
        row = await templates.add(session, place, body.content)
        after = {"version": row.version, "template_id": row.id, "published": body.publish}
        await auditing.note(session, caller, "template.saved", _subject(place), None, after)
        if body.publish:
            await templates.publish(session, place, row)
            await announce(session)
        published = templates.newest(
            await templates.publications(session, caller.tenant, body.name), body.channel, body.language
        )
    parts.catalog.flush()
    response.headers["Location"] = (
        f"/api/v1/templates/{body.name}/versions?channel={body.channel}&language={body.language}"
    )
    listed = Listed(row=row, published_version=published.version if published else None)
    return SavedTemplate.model_validate({**fields_of(listed), "warnings": warnings})


@router.get("", response_model=Page[TemplateAnswer])
@scope("read")
async def list_templates(
    paging: PagingDep,
    caller: CallerDep,
    parts: PartsDep,
    name: str | None = None,
    channel: ChannelQuery = None,
    language: LanguageQuery = None,
) -> Page[TemplateAnswer]:
    """The newest version of each, by name, channel and language."""
    wanted = Filter(tenant=caller.tenant, name=name, channel=channel, language=language)
    async with parts.database.transaction() as session:
        rows = await template_lists.listed(session, wanted, paging.after_parts(3), paging.fetch)
    return paging.page(rows, lambda row: row.place, answer)


@router.get("/{name}/versions", response_model=Page[TemplateAnswer])
@scope("read")
async def list_template_versions(
    name: Name,
    paging: PagingDep,
    caller: CallerDep,
    parts: PartsDep,
    channel: ChannelQuery = None,
    language: LanguageQuery = None,
) -> Page[TemplateAnswer]:
    """Every version, of one channel or language if they are given, newest first."""
    wanted = Filter(tenant=caller.tenant, name=name, channel=channel, language=language)
    async with parts.database.transaction() as session:
        if not await template_lists.known(session, caller.tenant, name):
            raise unknown()
        rows = await template_lists.versions(session, wanted, paging.after_id, paging.fetch)
    return paging.page(rows, lambda row: row.row.id, answer)


@router.post("/{name}/publish", response_model=TemplateAnswer)
@scope("manage")
async def publish_template(name: Name, body: VersionTarget, caller: CallerDep, parts: PartsDep) -> TemplateAnswer:
    """The version that notifications accepted from now on are rendered with."""
    place = Place(tenant=caller.tenant, name=name, channel=body.channel, language=body.language)
    async with parts.database.transaction() as session:
        await templates.lock(session, place)
        if not await template_lists.known(session, caller.tenant, name):
            raise unknown()
        row = await templates.by_version(session, place, body.version)
        if row is None:
            raise invalid(at("/version", "is no version of this template in this channel and language"))
        now = templates.newest(await templates.publications(session, caller.tenant, name), body.channel, body.language)
        if now is None or now.template_id != row.id:
            await templates.publish(session, place, row)
            former = None if now is None else now.version
            await _note_publication(session, caller, "template.published", place, former, row.version)
            await announce(session)
    parts.catalog.flush()
    return answer(Listed(row=row, published_version=row.version))


@router.post("/{name}/rollback", response_model=TemplateAnswer, responses=answers(409))
@scope("manage")
async def roll_back_template(name: Name, body: Target, caller: CallerDep, parts: PartsDep) -> TemplateAnswer:
    """Publishes the version that was published before the current one."""
    place = Place(tenant=caller.tenant, name=name, channel=body.channel, language=body.language)
    async with parts.database.transaction() as session:
        await templates.lock(session, place)
        if not await template_lists.known(session, caller.tenant, name):
            raise unknown()
        history = await templates.publications(session, caller.tenant, name)
        version = version_before(p.version for p in history if (p.channel, p.language) == (body.channel, body.language))
        row = None if version is None else await templates.by_version(session, place, version)
        if row is None:
            raise conflict("No version was published before the current one.")
        await templates.publish(session, place, row)
        former = templates.newest(history, body.channel, body.language)
        former_version = None if former is None else former.version
        await _note_publication(session, caller, "template.rolled_back", place, former_version, row.version)
        await announce(session)
    parts.catalog.flush()
    return answer(Listed(row=row, published_version=row.version))


def _subject(place: Place) -> str:
    return f"template/{place.name}/{place.channel}/{place.language}"


async def _note_publication(
    session: AsyncSession, caller: Caller, action: str, place: Place, former: int | None, version: int
) -> None:
    """The versions stay readable, so that their content is not repeated here."""
    before, after = {"published_version": former}, {"published_version": version}
    await auditing.note(session, caller, action, _subject(place), before, after)


def answer(listed: Listed) -> TemplateAnswer:
    return TemplateAnswer.model_validate(fields_of(listed))


def fields_of(listed: Listed) -> dict[str, object]:
    columns = listed.row.model_dump(exclude={"tenant"})
    return {**columns, "published_version": listed.published_version}


def unknown() -> Exception:
    return not_found("There is no template with this name.")
