"""Routes of templates: save a version, publish it, roll back, list versions."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.limits.rate_limits import COMPILE_POINTS, charge
from api.openapi import problem_responses
from api.paging import Page, PagingDep
from api.problems import conflict, not_found
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
from services import templates
from services.templates import NoEarlierVersion, TemplateCommand
from storage.templates import (
    ListedTemplate,
    TemplateFilter,
    TemplateKey,
    is_known_name,
    list_newest,
    list_versions,
)

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
    command = TemplateCommand(
        key=TemplateKey(tenant=caller.tenant, name=body.name, channel=body.channel, language=body.language),
        source=body.source,
        content=body.content,
        publish=body.publish,
    )
    listed, warnings = await templates.save(container.database, container.catalog, container.renderer, caller, command)
    response.headers["Location"] = (
        f"/api/v1/templates/{body.name}/versions?channel={body.channel}&language={body.language}"
    )
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
        rows = await list_newest(session, wanted, paging.parse(partial(split_texts, count=3)), paging.fetch_limit)
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
        if not await is_known_name(session, caller.tenant, name):
            raise template_not_found()
        rows = await list_versions(session, wanted, paging.after_id, paging.fetch_limit)
    return paging.page(rows, lambda row: row.row.id, template_response)


@router.post("/{name}/publish", response_model=TemplateResponse)
@scope("manage")
async def publish_template(
    name: Name, body: TemplateVersionTarget, caller: CallerDep, container: ContainerDep
) -> TemplateResponse:
    """Publish a version. Notifications accepted from now on use it."""
    listed = await templates.publish(
        container.database, container.catalog, caller, _key_of(caller, name, body), body.version
    )
    if listed is None:
        raise template_not_found()
    return template_response(listed)


@router.post("/{name}/rollback", response_model=TemplateResponse, responses=problem_responses(409))
@scope("manage")
async def roll_back_template(
    name: Name, body: TemplateTarget, caller: CallerDep, container: ContainerDep
) -> TemplateResponse:
    """Publish the version that was published before the current one."""
    try:
        listed = await templates.roll_back(container.database, container.catalog, caller, _key_of(caller, name, body))
    except NoEarlierVersion:
        raise conflict("No version was published before the current one.") from None
    if listed is None:
        raise template_not_found()
    return template_response(listed)


def _key_of(caller: Caller, name: str, body: TemplateTarget) -> TemplateKey:
    return TemplateKey(tenant=caller.tenant, name=name, channel=body.channel, language=body.language)


def template_response(listed: ListedTemplate) -> TemplateResponse:
    return TemplateResponse.model_validate(template_fields_of(listed))


def template_fields_of(listed: ListedTemplate) -> dict[str, object]:
    columns = listed.row.model_dump(exclude={"tenant"})
    return {**columns, "published_version": listed.published_version}


def template_not_found() -> Exception:
    return not_found("There is no template with this name.")
