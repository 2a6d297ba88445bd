"""Define the renderer's inputs and results. Failures are values: a bad template is not an internal error."""

from dataclasses import dataclass

from domain.channels import Channel
from domain.json_types import Json, JsonValue


@dataclass(frozen=True, kw_only=True)
class TemplateSource:
    """Hold the Jinja2 sources of one channel in one language. `text` is the plain part of an email and may be
    derived. `fold_typography` concerns the text of an SMS, `push` the rich fields of a push message.
    """

    subject: str | None
    body: str
    text: str | None
    channel: Channel
    fold_typography: bool = False
    push: Json | None = None


@dataclass(frozen=True, kw_only=True)
class RenderedContent:
    """Hold the fields of each channel: email subject, html, text; sms text; chat title, body; push, web_push, in_app
    title, body and rich fields (`domain/push_content.py`); webhook body and, where the template has one, subject.
    """

    content: dict[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class RenderFailure:
    """Describe a failure.

    `reason` is safe to store and show: it quotes the template, never the payload. `part` is subject, body, text or a
    rich field of a push message, such as `push/image`.
    `line` counts from 1 inside that part. `sms_segments` is set if the text needs too many.
    """

    reason: str
    part: str | None = None
    line: int | None = None
    sms_segments: int | None = None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """List the top-level names that the templates read and do not set. Those in `needed` are read without a condition,
    so that a render without them can fail.
    """

    variables: set[str]
    needed: set[str]


@dataclass(frozen=True, kw_only=True)
class SchemaProblem:
    """Describe a problem. `pointer` is RFC 6901. `detail` quotes the schema, never the payload."""

    pointer: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class SchemaCheck:
    """List the reasons why a schema cannot be used; empty if it compiles."""

    problems: tuple[SchemaProblem, ...]


@dataclass(frozen=True, kw_only=True)
class PayloadCheck:
    """List the problems of each payload of a call, in the order of the payloads; empty for a valid payload."""

    problems: tuple[tuple[SchemaProblem, ...], ...]
