"""Route that renders a template with a payload without sending it."""

from fastapi import APIRouter, Request

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.limits.rate_limits import RENDER_POINTS, charge
from api.problems import Problem, invalid, not_found
from api.schemas.sms import SmsView
from api.schemas.templates import PreviewBody, PreviewResponse
from bootstrap import Container
from domain.audit import Caller
from domain.languages import fallback_languages
from domain.templates import TemplateVersion
from domain.validation_issues import issue_at
from rendering.messages import RenderFailure
from rendering.schema_checks import PayloadChecks
from services.delivery_rendering import template_source_of
from services.send_checks import payload_issues
from services.template_checks import render_issue
from storage import templates
from storage.templates import TemplateKey

RENDER_FAILED = ("template-failed", "The template cannot be rendered with this payload")

router = APIRouter(prefix="/templates", tags=["templates"], route_class=AuthenticatedRoute)


@router.post("/{name}/preview", response_model=PreviewResponse)
@scope("read")
async def preview_template(
    name: str, body: PreviewBody, request: Request, caller: CallerDep, container: ContainerDep
) -> PreviewResponse:
    """Render a template with a payload, which must fit its schema as for a send."""
    await charge(request, RENDER_POINTS)
    version = await find_version(container, caller, name, body)
    checks = PayloadChecks(container.renderer, caller.tenant)
    checks.add(0, body.payload, [version.variables_schema])
    await checks.run()
    if issues := payload_issues(checks, 0):
        raise invalid(*issues)
    source = template_source_of(version, fold_typography=body.folds_typography)
    variables = {**body.payload, "recipient": body.recipient}
    rendered = await container.renderer.render(source, variables, version.language, tenant=caller.tenant)
    if isinstance(rendered, RenderFailure):
        issue = render_issue(rendered)
        raise Problem(422, issue["detail"], errors=[issue], problem_type=RENDER_FAILED)
    return PreviewResponse(
        channel=version.channel,
        language=version.language,
        version=version.version,
        content=dict(rendered.content),
        sms=SmsView.from_content(version.channel, rendered.content),
    )


async def find_version(container: Container, caller: Caller, name: str, body: PreviewBody) -> TemplateVersion:
    """Return the requested version, or the published one. Raise 404 for an unknown name and 422 otherwise."""
    async with container.database.transaction() as session:
        if not await templates.is_known_name(session, caller.tenant, name):
            raise not_found("There is no template with this name.")
    languages = languages_of(caller, body)
    if body.version is None:
        published = await container.catalog.published(caller.tenant, name, body.channel, languages)
        if published is None:
            raise invalid(issue_at("/channel", "has no published version in this language; name a version"))
        return published
    template_key = TemplateKey(tenant=caller.tenant, name=name, channel=body.channel, language=languages[0])
    async with container.database.transaction() as session:
        row = await templates.find_by_version(session, template_key, body.version)
    if row is None:
        raise invalid(issue_at("/version", "is no version of this template in this channel and language"))
    return templates.template_version_of(row)


def languages_of(caller: Caller, body: PreviewBody) -> list[str]:
    locale = body.language or body.recipient.get("locale")
    try:
        return fallback_languages(locale if isinstance(locale, str) else None, caller.default_language)
    except ValueError as error:
        raise invalid(issue_at("/recipient/locale", str(error))) from None
