"""Routes of templates: save a version, publish it, roll back, list versions."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.limits.rate_limits import COMPILE_POINTS, charge
from api.openapi import problem_responses
from api.paging import Page, PagingDep
from api.problems import conflict, invalid, not_found
from api.schemas.base import ChannelName
from api.schemas.templates import (
    Language,
    SavedTemplate,
    TemplateBody,
    TemplateResponse,
    TemplateTarget,
    TemplateVersionTarget,
)
from domain.audit import Caller
from domain.cursors import join_texts, split_texts
from domain.names import FLUSH_CHANNEL
from domain.templates import version_before
from domain.validation_issues import issue_at
from services.template_checks import find_save_warnings
from storage import audit, notification_types, templates
from storage.statements import notify
from storage.templates import ListedTemplate, TemplateFilter, TemplateKey

Name = Annotated[str, Path()]
ChannelQuery = Annotated[ChannelName | None, Query()]
LanguageQuery = Annotated[Language | None, Query()]

router = APIRouter(prefix="/templates", tags=["templates"], route_class=AuthenticatedRoute)


@router.post("", status_code=201, response_model=SavedTemplate)
@scope("manage")
async def save_template(
    body: TemplateBody, request: Request, response: Response, caller: CallerDep, container: ContainerDep
) -> SavedTemplate:
    """Save a new version of a template. With `publish` it is used from now on."""
    await charge(request, COMPILE_POINTS)
    async with container.database.transaction() as session:
        digest = await notification_types.is_used_in_digest(session, caller.tenant, body.name)
    warnings = await find_save_warnings(
        container.renderer, body.source, body.variables_schema, tenant=caller.tenant, digest=digest
    )
    template_key = TemplateKey(tenant=caller.tenant, name=body.name, channel=body.channel, language=body.language)
    async with container.database.transaction() as session:
        row = await templates.add_version(session, template_key, body.content)
        after = {"version": row.version, "template_id": row.id, "published": body.publish}
        await audit.record_change(session, caller.change("template.saved", _subject(template_key), None, after))
        if body.publish:
            await templates.publish_version(session, template_key, row)
            await notify(session, FLUSH_CHANNEL)
        published = templates.find_in_force(
            await templates.list_publications(session, caller.tenant, body.name), body.channel, body.language
        )
    container.catalog.flush()
    response.headers["Location"] = (
        f"/api/v1/templates/{body.name}/versions?channel={body.channel}&language={body.language}"
    )
    listed = ListedTemplate(row=row, published_version=published.version if published else None)
    return SavedTemplate.model_validate({**template_fields_of(listed), "warnings": warnings})


@router.get("", response_model=Page[TemplateResponse])
@scope("read")
async def list_templates(
    paging: PagingDep,
    caller: CallerDep,
    container: ContainerDep,
    name: str | None = None,
    channel: ChannelQuery = None,
    language: LanguageQuery = None,
) -> Page[TemplateResponse]:
    """List the newest version of each template, by name, channel and language."""
    wanted = TemplateFilter(tenant=caller.tenant, name=name, channel=channel, language=language)
    async with container.database.transaction() as session:
        rows = await templates.list_newest(
            session, wanted, paging.parse(partial(split_texts, count=3)), paging.fetch_limit
        )
    return paging.page(rows, lambda row: join_texts(*row.sort_key), template_response)


@router.get("/{name}/versions", response_model=Page[TemplateResponse])
@scope("read")
async def list_template_versions(
    name: Name,
    paging: PagingDep,
    caller: CallerDep,
    container: ContainerDep,
    channel: ChannelQuery = None,
    language: LanguageQuery = None,
) -> Page[TemplateResponse]:
    """List all versions of a template, newest first, optionally of one channel or language."""
    wanted = TemplateFilter(tenant=caller.tenant, name=name, channel=channel, language=language)
    async with container.database.transaction() as session:
        if not await templates.is_known_name(session, caller.tenant, name):
            raise template_not_found()
        rows = await templates.list_versions(session, wanted, paging.after_id, paging.fetch_limit)
    return paging.page(rows, lambda row: row.row.id, template_response)


@router.post("/{name}/publish", response_model=TemplateResponse)
@scope("manage")
async def publish_template(
    name: Name, body: TemplateVersionTarget, caller: CallerDep, container: ContainerDep
) -> TemplateResponse:
    """Publish a version. Notifications accepted from now on use it."""
    template_key = TemplateKey(tenant=caller.tenant, name=name, channel=body.channel, language=body.language)
    async with container.database.transaction() as session:
        await templates.lock_key(session, template_key)
        if not await templates.is_known_name(session, caller.tenant, name):
            raise template_not_found()
        row = await templates.find_by_version(session, template_key, body.version)
        if row is None:
            raise invalid(issue_at("/version", "is no version of this template in this channel and language"))
        current = templates.find_in_force(
            await templates.list_publications(session, caller.tenant, name), body.channel, body.language
        )
        if current is None or current.template_id != row.id:
            await templates.publish_version(session, template_key, row)
            former = None if current is None else current.version
            await _note_publication(session, caller, "template.published", template_key, former, row.version)
            await notify(session, FLUSH_CHANNEL)
    container.catalog.flush()
    return template_response(ListedTemplate(row=row, published_version=row.version))


@router.post("/{name}/rollback", response_model=TemplateResponse, responses=problem_responses(409))
@scope("manage")
async def roll_back_template(
    name: Name, body: TemplateTarget, caller: CallerDep, container: ContainerDep
) -> TemplateResponse:
    """Publish the version that was published before the current one."""
    template_key = TemplateKey(tenant=caller.tenant, name=name, channel=body.channel, language=body.language)
    async with container.database.transaction() as session:
        await templates.lock_key(session, template_key)
        if not await templates.is_known_name(session, caller.tenant, name):
            raise template_not_found()
        history = await templates.list_publications(session, caller.tenant, name)
        version = version_before(p.version for p in history if (p.channel, p.language) == (body.channel, body.language))
        row = None if version is None else await templates.find_by_version(session, template_key, version)
        if row is None:
            raise conflict("No version was published before the current one.")
        await templates.publish_version(session, template_key, row)
        former = templates.find_in_force(history, body.channel, body.language)
        former_version = None if former is None else former.version
        await _note_publication(session, caller, "template.rolled_back", template_key, former_version, row.version)
        await notify(session, FLUSH_CHANNEL)
    container.catalog.flush()
    return template_response(ListedTemplate(row=row, published_version=row.version))


def _subject(template_key: TemplateKey) -> str:
    return f"template/{template_key.name}/{template_key.channel}/{template_key.language}"


async def _note_publication(
    session: AsyncSession, caller: Caller, action: str, template_key: TemplateKey, former: int | None, version: int
) -> None:
    """Audit the version numbers. The content stays readable in the versions, so it is not repeated."""
    before, after = {"published_version": former}, {"published_version": version}
    await audit.record_change(session, caller.change(action, _subject(template_key), before, after))


def template_response(listed: ListedTemplate) -> TemplateResponse:
    return TemplateResponse.model_validate(template_fields_of(listed))


def template_fields_of(listed: ListedTemplate) -> dict[str, object]:
    columns = listed.row.model_dump(exclude={"tenant"})
    return {**columns, "published_version": listed.published_version}


def template_not_found() -> Exception:
    return not_found("There is no template with this name.")
