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
from rendering.urls import EXPRESSION, literal_urls, safe_urls

OUTPUT_LIMIT = 1 << 20
# Compiled, a template of nothing but expressions takes a hundred times its source: 28 MiB for these (measured).
CACHE_LIMIT = 256 << 10
TITLED = (Channel.PUSH, Channel.WEB_PUSH, Channel.IN_APP)


@dataclass(frozen=True, kw_only=True)
class Part:
    name: str
    source: str
    html: bool = False


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """`literals` are the addresses that the author wrote in the HTML and variables may not have; see `urls`."""

    template: Template
    literals: frozenset[str] = frozenset()


class Templates:
    """Keeps what it has compiled, least recently used out first."""

    def __init__(self) -> None:
        self._sandboxes = {html: build(html=html) for html in (True, False)}
        self._compiled: OrderedDict[tuple[bool, str], Compiled] = OrderedDict()
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
                compiled = self._compile(part)
                line_of = compiled.template.get_corresponding_lineno
                output = _run(compiled.template, {"locale": locale, **variables})
                done[part.name] = safe_urls(output, compiled.literals) if part.html else output
                if part.html and source.text is None:
                    done["text"] = _capped([plain_text(done[part.name])])
            except ANSWERED as error:
                return explain(error, part.name, part.source, line_of)
        return Rendered(content=_content(source.channel, done))

    def _compile(self, part: Part) -> Compiled:
        key = (part.html, part.source)
        if (compiled := self._compiled.get(key)) is not None:
            self._compiled.move_to_end(key)
            return compiled
        sandbox = self._sandboxes[part.html]
        template = sandbox.from_string(_parse(sandbox, part.source))
        compiled = Compiled(template=template, literals=_literals(sandbox, part.source) if part.html else frozenset())
        self._compiled[key] = compiled
        self._cached += len(part.source)
        while self._cached > CACHE_LIMIT:
            (_, oldest), _ = self._compiled.popitem(last=False)
            self._cached -= len(oldest)
        return compiled


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


def _literals(sandbox: Sandbox, source: str) -> frozenset[str]:
    """Return the addresses in the text between expressions and statements."""
    pieces = (text if kind == "data" else EXPRESSION for _, kind, text in sandbox.lex(source))
    return literal_urls("".join(pieces))


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
