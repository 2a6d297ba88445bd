"""Check a template when it is saved: issues that reject it, and warnings. Used by the template routes and `tocsin
apply`."""

from domain.channels import Channel
from domain.json_types import Json
from domain.validation_issues import InvalidInput, ValidationIssue, issue_at
from rendering.fair_queue import TenantId
from rendering.messages import Inspection, RenderFailure, TemplateSource
from rendering.renderer import Renderer
from rendering.schema_checks import check_schema
from rendering.schema_names import find_template_warnings

FIELD_POINTERS = {"subject": "/subject_template", "body": "/body_template", "text": "/text_template"}


async def find_save_warnings(
    renderer: Renderer, source: TemplateSource, schema: Json, *, tenant: TenantId, digest: bool
) -> list[str]:
    """Return the warnings of a template and its schema. `digest`: a type that collects uses it. Raise InvalidInput for
    an invalid schema or a template that does not compile."""
    inspection = await inspect_template(renderer, source, schema, tenant=tenant)
    return find_template_warnings(schema, inspection, digest=digest) + find_unused_fields(source)


async def inspect_template(renderer: Renderer, source: TemplateSource, schema: Json, *, tenant: TenantId) -> Inspection:
    """Return the variables of a template. Raise InvalidInput for an invalid schema or a template that does not
    compile."""
    problems = await check_schema(renderer, schema, tenant=tenant)
    if problems:
        raise InvalidInput(*(issue_at(f"/variables_schema{problem.pointer}", problem.detail) for problem in problems))
    inspection = await renderer.inspect(source, tenant=tenant)
    if isinstance(inspection, RenderFailure):
        raise InvalidInput(render_issue(inspection))
    return inspection


def render_issue(failure: RenderFailure) -> ValidationIssue:
    where = f" (line {failure.line})" if failure.line else ""
    part = failure.part or ""
    pointer = f"/{part}" if part.startswith("push/") else FIELD_POINTERS.get(part, "")
    return issue_at(pointer, failure.reason + where)


def find_unused_fields(source: TemplateSource) -> list[str]:
    warnings = []
    if source.channel is Channel.EMAIL and not source.subject:
        warnings.append("there is no subject_template: the email has an empty subject")
    if source.channel is Channel.SMS and source.subject is not None:
        warnings.append("subject_template is not used for sms")
    if source.channel is not Channel.EMAIL and source.text is not None:
        warnings.append("text_template is used for email only")
    return warnings
