"""What a template makes of a payload, without sending it."""

from fastapi import APIRouter, Request

from api.callers import Caller, CallerDep
from api.front_door import FrontDoor, scope
from api.parts import PartsDep
from api.problems import Problem, at, invalid, not_found
from api.rate_limits import RENDER_POINTS, charge
from api.schemas.templates import Preview, PreviewBody
from api.send_checks import payload_faults
from api.template_checks import fault_of
from bootstrap import Parts
from domain.languages import chain
from domain.templates import TemplateVersion
from rendering.messages import RenderFailure, TemplateSource
from rendering.schema_checks import PayloadChecks
from storage import template_lists, templates
from storage.templates import Place

FAILED = ("template-failed", "The template cannot be rendered with this payload")

router = APIRouter(prefix="/templates", tags=["templates"], route_class=FrontDoor)


@router.post("/{name}/preview", response_model=Preview)
@scope("read")
async def preview_template(
    name: str, body: PreviewBody, request: Request, caller: CallerDep, parts: PartsDep
) -> Preview:
    """The payload must fit the schema, as for a send."""
    await charge(request, RENDER_POINTS)
    version = await chosen(parts, caller, name, body)
    checks = PayloadChecks(parts.renderer, caller.tenant)
    checks.add(0, body.payload, [version.variables_schema])
    await checks.run()
    if faults := payload_faults(checks, 0):
        raise invalid(*faults)
    source = TemplateSource(
        subject=version.subject_template,
        body=version.body_template,
        text=version.text_template,
        channel=version.channel,
    )
    variables = {**body.payload, "recipient": body.recipient}
    rendered = await parts.renderer.render(source, variables, version.language, tenant=caller.tenant)
    if isinstance(rendered, RenderFailure):
        fault = fault_of(rendered)
        raise Problem(422, fault["detail"], errors=[fault], kind=FAILED)
    return Preview(
        channel=version.channel, language=version.language, version=version.version, content=dict(rendered.content)
    )


async def chosen(parts: Parts, caller: Caller, name: str, body: PreviewBody) -> TemplateVersion:
    """The version asked for, else the published one; 404 for an unknown name, 422 for the rest."""
    async with parts.database.transaction() as session:
        if not await template_lists.known(session, caller.tenant, name):
            raise not_found("There is no template with this name.")
    languages = languages_of(caller, body)
    if body.version is None:
        published = await parts.catalog.published(caller.tenant, name, body.channel, languages)
        if published is None:
            raise invalid(at("/channel", "has no published version in this language; name a version"))
        return published
    place = Place(tenant=caller.tenant, name=name, channel=body.channel, language=languages[0])
    async with parts.database.transaction() as session:
        row = await templates.by_version(session, place, body.version)
    if row is None:
        raise invalid(at("/version", "is no version of this template in this channel and language"))
    return templates.value_of(row)


def languages_of(caller: Caller, body: PreviewBody) -> list[str]:
    locale = body.language or body.recipient.get("locale")
    try:
        return chain(locale if isinstance(locale, str) else None, caller.default_language)
    except ValueError as error:
        raise invalid(at("/recipient/locale", str(error))) from None
