"""Check a template when it is saved: issues that reject it, and warnings. Used by the template routes and `tocsin
apply`."""

from api.problems import ValidationIssue, invalid, issue_at
from api.schemas.templates import TemplateBody
from domain.channels import Channel
from rendering.fair_queue import TenantId
from rendering.messages import Inspection, RenderFailure, TemplateSource
from rendering.renderer import Renderer
from rendering.schema_checks import check_schema
from rendering.schema_names import find_template_warnings

FIELD_POINTERS = {"subject": "/subject_template", "body": "/body_template", "text": "/text_template"}


async def find_save_warnings(renderer: Renderer, body: TemplateBody, *, tenant: TenantId, digest: bool) -> list[str]:
    """Return the warnings of a template and its schema. `digest`: a type that collects uses it. Raise Problem for an
    invalid schema or a template that does not compile."""
    inspection = await inspect_template(renderer, body, tenant=tenant)
    return find_template_warnings(body.variables_schema, inspection, digest=digest) + find_unused_fields(body)


async def inspect_template(renderer: Renderer, body: TemplateBody, *, tenant: TenantId) -> Inspection:
    """Return the variables of a template. Raise Problem for an invalid schema or a template that does not compile."""
    problems = await check_schema(renderer, body.variables_schema, tenant=tenant)
    if problems:
        raise invalid(*(issue_at(f"/variables_schema{problem.pointer}", problem.detail) for problem in problems))
    source = TemplateSource(
        subject=body.subject_template, body=body.body_template, text=body.text_template, channel=body.channel
    )
    inspection = await renderer.inspect(source, tenant=tenant)
    if isinstance(inspection, RenderFailure):
        raise invalid(render_issue(inspection))
    return inspection


def render_issue(failure: RenderFailure) -> ValidationIssue:
    where = f" (line {failure.line})" if failure.line else ""
    return issue_at(FIELD_POINTERS.get(failure.part or "", ""), failure.reason + where)


def find_unused_fields(body: TemplateBody) -> list[str]:
    warnings = []
    if body.channel is Channel.EMAIL and not body.subject_template:
        warnings.append("there is no subject_template: the email has an empty subject")
    if body.channel is Channel.SMS and body.subject_template is not None:
        warnings.append("subject_template is not used for sms")
    if body.channel is not Channel.EMAIL and body.text_template is not None:
        warnings.append("text_template is used for email only")
    return warnings
