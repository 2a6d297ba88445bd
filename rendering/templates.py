"""Parse, compile and render the parts of one template. Runs in the child only (`child`)."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jinja2 import Template, TemplateSyntaxError, meta, nodes

from domain.channels import Channel
from domain.email_options import UNSUBSCRIBE_PLACEHOLDER
from domain.json_types import JsonValue
from rendering.failures import TEMPLATE_ERRORS, TOO_LONG, UNSTORABLE, TemplateRuleError, explain_error
from rendering.messages import Inspection, RenderedContent, RenderFailure, TemplateSource
from rendering.plain_text import html_to_text
from rendering.push_fields import build_push_fields, check_push_output, find_unsafe_url, list_push_texts
from rendering.required_variables import find_required_names
from rendering.sms_text import build_sms
from rendering.template_environment import TemplateEnvironment, build_environment
from rendering.urls import EXPRESSION_MARK, find_literal_urls, replace_unsafe_urls

OUTPUT_LIMIT = 1 << 20
# Compiled, a template of nothing but expressions takes a hundred times its source: 28 MiB for these (measured).
CACHE_LIMIT = 256 << 10
TITLED_CHANNELS = (Channel.PUSH, Channel.WEB_PUSH, Channel.IN_APP, Channel.CHAT)


@dataclass(frozen=True, kw_only=True)
class TemplatePart:
    name: str
    source: str
    html: bool = False


@dataclass(frozen=True, kw_only=True)
class CompiledPart:
    """Hold one part. `literals` are the URLs in the author's HTML that variables may not contain; see `urls`."""

    template: Template
    literals: frozenset[str] = frozenset()


class TemplateEngine:
    """Cache compiled templates; the least recently used is dropped first."""

    def __init__(self) -> None:
        self._environments = {html: build_environment(html=html) for html in (True, False)}
        self._compiled: OrderedDict[tuple[bool, str], CompiledPart] = OrderedDict()
        self._cached = 0

    def inspect(self, source: TemplateSource) -> Inspection | RenderFailure:
        variables: set[str] = set()
        needed: set[str] = set()
        for part in _split_parts(source):
            try:
                tree = _parse(self._environments[part.html], part.source)
                read = meta.find_undeclared_variables(tree)
                variables |= read
                needed |= find_required_names(tree, read)
                self._compile(part)
                if unsafe := find_unsafe_url(part.name, _skeleton(self._environments[part.html], part.source)):
                    return RenderFailure(reason=unsafe, part=part.name)
            except TEMPLATE_ERRORS as error:
                return explain_error(error, part.name, part.source, None)
        return Inspection(variables=variables, needed=needed)

    def render(
        self, source: TemplateSource, variables: dict[str, JsonValue], locale: str
    ) -> RenderedContent | RenderFailure:
        outputs: dict[str, str] = {}
        defaults: dict[str, JsonValue] = {"locale": locale}
        if source.channel is Channel.EMAIL:
            defaults["unsubscribe_url"] = UNSUBSCRIBE_PLACEHOLDER
        for part in _split_parts(source):
            line_of: Callable[[int], int] | None = None
            try:
                compiled = self._compile(part)
                line_of = compiled.template.get_corresponding_lineno
                output = _render(compiled.template, defaults | variables)
                outputs[part.name] = replace_unsafe_urls(output, compiled.literals) if part.html else output
                if part.html and source.text is None:
                    outputs["text"] = _join_limited([html_to_text(outputs[part.name])])
                check_push_output(part.name, output)
            except TEMPLATE_ERRORS as error:
                return explain_error(error, part.name, part.source, line_of)
        if source.channel is Channel.SMS:
            return build_sms(outputs["body"], fold=source.fold_typography)
        return RenderedContent(content=_build_content(source, outputs))

    def _compile(self, part: TemplatePart) -> CompiledPart:
        key = (part.html, part.source)
        if (compiled := self._compiled.get(key)) is not None:
            self._compiled.move_to_end(key)
            return compiled
        environment = self._environments[part.html]
        template = environment.from_string(_parse(environment, part.source))
        compiled = CompiledPart(
            template=template, literals=_find_literals(environment, part.source) if part.html else frozenset()
        )
        self._compiled[key] = compiled
        self._cached += len(part.source)
        while self._cached > CACHE_LIMIT:
            (_, oldest), _ = self._compiled.popitem(last=False)
            self._cached -= len(oldest)
        return compiled


def _split_parts(source: TemplateSource) -> Iterator[TemplatePart]:
    if source.subject is not None and source.channel is not Channel.SMS:
        yield TemplatePart(name="subject", source=source.subject)
    yield TemplatePart(name="body", source=source.body, html=source.channel is Channel.EMAIL)
    if source.text is not None and source.channel is Channel.EMAIL:
        yield TemplatePart(name="text", source=source.text)
    if source.channel in TITLED_CHANNELS:
        for name, text in list_push_texts(source.push):
            yield TemplatePart(name=name, source=text)


def _parse(environment: TemplateEnvironment, source: str) -> nodes.Template:
    tree = environment.parse(source)
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        raise TemplateSyntaxError("include, import and extends are not available", node.lineno)
    return tree


def _find_literals(environment: TemplateEnvironment, source: str) -> frozenset[str]:
    """Return the URLs in the text between expressions and statements."""
    return find_literal_urls(_skeleton(environment, source))


def _skeleton(environment: TemplateEnvironment, source: str) -> str:
    return "".join(text if kind == "data" else EXPRESSION_MARK for _, kind, text in environment.lex(source))


def _render(template: Template, variables: dict[str, JsonValue]) -> str:
    """Render without `template.generate`, which rewrites tracebacks: slow for the deep ones of a hostile template."""
    return _join_limited(template.root_render_func(template.new_context(dict(variables))))


def _join_limited(pieces: Iterator[str] | list[str]) -> str:
    chunks, size = [], 0
    for piece in pieces:
        try:
            size += len(piece.encode())
        except UnicodeEncodeError:
            raise TemplateRuleError(UNSTORABLE) from None
        if size > OUTPUT_LIMIT:
            raise TemplateRuleError(TOO_LONG)
        if "\0" in piece:
            raise TemplateRuleError(UNSTORABLE)
        chunks.append(piece)
    return "".join(chunks)


def _build_content(source: TemplateSource, outputs: dict[str, str]) -> dict[str, JsonValue]:
    # A line break in a subject would start another header.
    subject = " ".join(line.strip() for line in outputs.get("subject", "").splitlines() if line.strip())
    body = outputs["body"]
    if source.channel is Channel.EMAIL:
        return {"subject": subject, "html": body, "text": outputs["text"]}
    if source.channel in TITLED_CHANNELS:
        return {"title": subject, "body": body, **build_push_fields(source.push, outputs)}
    return {"subject": subject, "body": body} if "subject" in outputs else {"body": body}
