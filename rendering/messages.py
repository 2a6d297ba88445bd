"""What callers hand to the renderer and get back. Failures are values: a bad template is no error of ours."""

from dataclasses import dataclass
from typing import TypeAlias

from domain.channels import Channel

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"


@dataclass(frozen=True, kw_only=True)
class TemplateSource:
    """Jinja2 sources of one channel in one language; `text` is the plain part of an e-mail and may be derived."""

    subject: str | None
    body: str
    text: str | None
    channel: Channel


@dataclass(frozen=True, kw_only=True)
class RenderedContent:
    """Fields per channel: email subject, html, text; sms text; push, web_push, in_app title, body; webhook body
    and, where the template has one, subject."""

    content: dict[str, JSON]


@dataclass(frozen=True, kw_only=True)
class RenderFailure:
    """`reason` is safe to store and show: it quotes the template, never the payload. `part` is subject, body or
    text; `line` counts from 1 inside that part."""

    reason: str
    part: str | None = None
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """`variables` are the top-level names that the templates read and do not set themselves; `needed` those of them
    that they read without asking, so that a render without them can fail."""

    variables: set[str]
    needed: set[str]


@dataclass(frozen=True, kw_only=True)
class SchemaProblem:
    """`pointer` is RFC 6901; `detail` quotes the schema, never the payload."""

    pointer: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class SchemaCheck:
    """What keeps a schema from being used; empty if it compiles."""

    problems: tuple[SchemaProblem, ...]


@dataclass(frozen=True, kw_only=True)
class PayloadCheck:
    """The problems of each payload of a call, in the order of the payloads; empty for a valid one."""

    problems: tuple[tuple[SchemaProblem, ...], ...]
