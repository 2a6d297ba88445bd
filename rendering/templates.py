"""Parses, compiles and renders the parts of one template; runs in the child only (`child`)."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jinja2 import Template, TemplateSyntaxError, meta, nodes

from domain.channels import Channel
from rendering.failures import ANSWERED, TOO_LONG, UNSTORABLE, Refused, explain
from rendering.guards import unguarded
from rendering.messages import JSON, Inspection, Rendered, RenderFailure, TemplateSource
from rendering.plain_text import plain_text
from rendering.sandbox import Sandbox, build

OUTPUT_LIMIT = 1 << 20
# Compiled, a template of nothing but expressions takes a hundred times its source: 28 MiB for these (measured).
CACHE_LIMIT = 256 << 10
TITLED = (Channel.PUSH, Channel.WEB_PUSH, Channel.IN_APP)


@dataclass(frozen=True, kw_only=True)
class Part:
    name: str
    source: str
    html: bool = False


class Templates:
    """Keeps what it has compiled, least recently used out first."""

    def __init__(self) -> None:
        self._sandboxes = {html: build(html=html) for html in (True, False)}
        self._compiled: OrderedDict[tuple[bool, str], Template] = OrderedDict()
        self._cached = 0

    def inspect(self, source: TemplateSource) -> Inspection | RenderFailure:
        variables: set[str] = set()
        needed: set[str] = set()
        for part in _parts(source):
            try:
                tree = _parse(self._sandboxes[part.html], part.source)
                read = meta.find_undeclared_variables(tree)
                variables |= read
                needed |= unguarded(tree, read)
                self._compile(part)
            except ANSWERED as error:
                return explain(error, part.name, part.source, None)
        return Inspection(variables=variables, needed=needed)

    def render(self, source: TemplateSource, variables: dict[str, JSON], locale: str) -> Rendered | RenderFailure:
        done: dict[str, str] = {}
        for part in _parts(source):
            line_of: Callable[[int], int] | None = None
            try:
                template = self._compile(part)
                line_of = template.get_corresponding_lineno
                done[part.name] = _run(template, {"locale": locale, **variables})
                if part.html and source.text is None:
                    done["text"] = _capped([plain_text(done[part.name])])
            except ANSWERED as error:
                return explain(error, part.name, part.source, line_of)
        return Rendered(content=_content(source.channel, done))

    def _compile(self, part: Part) -> Template:
        key = (part.html, part.source)
        if (template := self._compiled.get(key)) is not None:
            self._compiled.move_to_end(key)
            return template
        sandbox = self._sandboxes[part.html]
        template = sandbox.from_string(_parse(sandbox, part.source))
        self._compiled[key] = template
        self._cached += len(part.source)
        while self._cached > CACHE_LIMIT:
            (_, oldest), _ = self._compiled.popitem(last=False)
            self._cached -= len(oldest)
        return template


def _parts(source: TemplateSource) -> Iterator[Part]:
    if source.subject is not None and source.channel is not Channel.SMS:
        yield Part(name="subject", source=source.subject)
    yield Part(name="body", source=source.body, html=source.channel is Channel.EMAIL)
    if source.text is not None and source.channel is Channel.EMAIL:
        yield Part(name="text", source=source.text)


def _parse(sandbox: Sandbox, source: str) -> nodes.Template:
    tree = sandbox.parse(source)
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        raise TemplateSyntaxError("include, import and extends are not available", node.lineno)
    return tree


def _run(template: Template, variables: dict[str, JSON]) -> str:
    """Not `template.generate`: that rewrites tracebacks, which is slow for the deep ones of a hostile template."""
    return _capped(template.root_render_func(template.new_context(dict(variables))))


def _capped(pieces: Iterator[str] | list[str]) -> str:
    kept, size = [], 0
    for piece in pieces:
        try:
            size += len(piece.encode())
        except UnicodeEncodeError:
            raise Refused(UNSTORABLE) from None
        if size > OUTPUT_LIMIT:
            raise Refused(TOO_LONG)
        if "\0" in piece:
            raise Refused(UNSTORABLE)
        kept.append(piece)
    return "".join(kept)


def _content(channel: Channel, done: dict[str, str]) -> dict[str, JSON]:
    # A line break in a subject would start another mail header.
    subject = " ".join(line.strip() for line in done.get("subject", "").splitlines() if line.strip())
    body = done["body"]
    if channel is Channel.EMAIL:
        return {"subject": subject, "html": body, "text": done["text"]}
    if channel is Channel.SMS:
        return {"text": body}
    if channel in TITLED:
        return {"title": subject, "body": body}
    return {"subject": subject, "body": body} if "subject" in done else {"body": body}
