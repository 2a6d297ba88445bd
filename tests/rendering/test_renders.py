from itertools import product

import pytest

from domain.channels import Channel
from domain.json_types import JsonValue
from rendering.messages import Inspection, RenderedContent, RenderFailure, TemplateSource
from rendering.renderer import Renderer
from tests.rendering.sources import email, sms

ADA: dict[str, JsonValue] = {"name": "Ada & <Bob>", "order": {"id": 7, "items": ["tea", "jam"]}, "empty": None}


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        (Channel.EMAIL, {"subject": "For Ada & <Bob>", "html": "Hi Ada &amp; &lt;Bob&gt;", "text": "Hi Ada & <Bob>"}),
        (Channel.SMS, {"text": "Hi Ada & <Bob>"}),
        (Channel.PUSH, {"title": "For Ada & <Bob>", "body": "Hi Ada & <Bob>"}),
        (Channel.WEB_PUSH, {"title": "For Ada & <Bob>", "body": "Hi Ada & <Bob>"}),
        (Channel.IN_APP, {"title": "For Ada & <Bob>", "body": "Hi Ada & <Bob>"}),
        (Channel.CHAT, {"title": "For Ada & <Bob>", "body": "Hi Ada & <Bob>"}),
        (Channel.WEBHOOK, {"subject": "For Ada & <Bob>", "body": "Hi Ada & <Bob>"}),
    ],
)
async def test_each_channel_has_its_fields(
    renderer: Renderer, channel: Channel, expected: dict[str, JsonValue]
) -> None:
    source = TemplateSource(subject="For {{ name }}", body="Hi {{ name }}", text=None, channel=channel)
    assert await renderer.render(source, ADA, "en") == RenderedContent(content=expected)


async def test_a_webhook_without_a_subject_has_none(renderer: Renderer) -> None:
    source = TemplateSource(subject=None, body='{"id": {{ order.id }}}', text=None, channel=Channel.WEBHOOK)
    assert await renderer.render(source, ADA, "en") == RenderedContent(content={"body": '{"id": 7}'})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{% for item in order.items %}{{ item|upper }} {% endfor %}", "TEA JAM "),
        ("{{ order['items']|join(', ') }}", "tea, jam"),
        ("{{ missing|default('there') }}", "there"),
        ("{% if missing is defined %}a{% else %}b{% endif %}", "b"),
        ("{{ order.id * 3 }} {{ 2 ** 10 }} {{ 7 % 4 }} {{ '=' * 3 }}", "21 1024 3 ==="),
        ("{% macro shout(t) %}{{ t }}!{% endmacro %}{{ shout('hey') }}", "hey!"),
        ("{% for i in range(3) %}{{ loop.index }}{% endfor %}", "123"),
        ("{% set ns = namespace(n=1) %}{% set ns.n = 2 %}{{ ns.n }}", "2"),
        ("{{ locale }}", "fr-BE"),
        ("{{ name.startswith('Ada') }}", "True"),
        ("{{ order|tojson }}", '{"id": 7, "items": ["tea", "jam"]}'),
        ("{{ [{'a': 2}, {'a': 1}]|map(attribute='a')|sum }}", "3"),
        ("é 😀\n", "é 😀\n"),
    ],
)
async def test_ordinary_templates_render(renderer: Renderer, body: str, expected: str) -> None:
    assert await renderer.render(sms(body), ADA, "fr-BE") == RenderedContent(content={"text": expected})


async def test_a_variable_called_locale_wins(renderer: Renderer) -> None:
    assert await renderer.render(sms("{{ locale }}"), {"locale": "here"}, "en") == RenderedContent(
        content={"text": "here"}
    )


@pytest.mark.parametrize("breaks", ["\n", "\r\n", "\r", " \n ", "\u2028", "\x0b", "\x85", "\n\n"])
async def test_a_subject_is_one_line(renderer: Renderer, breaks: str) -> None:
    source = email("x", subject="{{ a }}\n")
    done = await renderer.render(source, {"a": f"Hi{breaks}Bcc: eve@example.com"}, "en")
    assert isinstance(done, RenderedContent)
    assert done.content["subject"] == "Hi Bcc: eve@example.com"


async def test_an_own_text_part_is_not_escaped(renderer: Renderer) -> None:
    done = await renderer.render(email("{{ name }}", text="Dear {{ name }}"), ADA, "en")
    assert isinstance(done, RenderedContent)
    assert done.content["text"] == "Dear Ada & <Bob>"


async def test_inspection_lists_the_variables_of_the_templates(renderer: Renderer) -> None:
    source = email(
        "{% for item in order.items %}{{ item }}{{ range(2) }}{{ locale }}{% endfor %}", "{{ a }}", "{% set c = b %}"
    )
    names = {"order", "a", "b"}
    assert await renderer.inspect(source) == Inspection(variables=names, needed=names)


@pytest.mark.parametrize(
    ("body", "reason", "line"),
    [
        ("a\n{{ missing }}", "undefined variable 'missing'", 2),
        ("\n\n{{ order.price }}", "undefined attribute 'price'", 3),
        ("{{ missing.name }}", "undefined variable 'missing'", 1),
        ("{{ missing + 1 }}", "undefined variable 'missing'", 1),
        ("{% for a in missing %}{% endfor %}", "undefined variable 'missing'", 1),
        ("{{ []|first }}", "undefined value", 1),
        ("{{ [order]|map(attribute='price')|list }}", "undefined attribute 'price'", 1),
        ("{{ [1]|map('nope')|list }}", "no filter named 'nope'", 1),
        ("{{ 1/0 }}", "division by zero", 1),
        ("{{ order.id // 0 }}", "division by zero", 1),
        ("{{ name + 1 }}", "a value does not fit the operation, filter or function it is used with", 1),
        ("{% if empty %}{{ 1|nope }}{% endif %}{{ 1|nope }}", "syntax error: no filter named 'nope'", 1),
    ],
)
async def test_a_failure_has_a_reason_and_a_location(renderer: Renderer, body: str, reason: str, line: int) -> None:
    assert await renderer.render(sms(body), ADA, "en") == RenderFailure(reason=reason, part="body", line=line)


@pytest.mark.parametrize(
    ("body", "reason", "line"),
    [
        ("\n{{ a }", "syntax error: unexpected '}'", 2),
        ("{% if a %}", "syntax error: unexpected end of template", 1),
        ("{% include 'x' %}", "syntax error: include, import and extends are not available", 1),
        ("\n{% import 'x' as y %}", "syntax error: include, import and extends are not available", 2),
        ("{% from 'x' import y %}", "syntax error: include, import and extends are not available", 1),
        ("{% extends 'x' %}", "syntax error: include, import and extends are not available", 1),
        ("{{ 'a'|center(9) }}", "syntax error: no filter named 'center'", 1),
        ("{{ '%9d'|format(9) }}", "syntax error: no filter named 'format'", 1),
        ("{% for a in b %}" * 30 + "{% endfor %}" * 30, "nested too deeply", None),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "nested too deeply", None),
    ],
)
async def test_bad_templates_are_refused_when_saved_and_when_sent(
    renderer: Renderer, body: str, reason: str, line: int | None
) -> None:
    for result in (await renderer.inspect(sms(body)), await renderer.render(sms(body), {"a": 1, "b": []}, "en")):
        assert isinstance(result, RenderFailure)
        assert result.reason.startswith(reason)
        assert (result.part, result.line) == ("body", line)


async def test_a_failure_names_its_part(renderer: Renderer) -> None:
    failures = [
        await renderer.render(email("{{ missing }}", text="x"), {}, "en"),
        await renderer.render(email("x", subject="{{ missing }}"), {}, "en"),
        await renderer.render(email("x", text="{{ missing }}"), {}, "en"),
    ]
    assert [failure.part for failure in failures if isinstance(failure, RenderFailure)] == ["body", "subject", "text"]


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), b"bytes", 10**5000], ids=["set", "nan", "bytes", "digits"])
async def test_variables_must_be_plain_json(renderer: Renderer, value: object) -> None:
    result = await renderer.render(sms("x"), {"a": value}, "en")  # type: ignore[dict-item]
    assert result == RenderFailure(reason="variables are not plain JSON")


@pytest.mark.parametrize("value", ["\0", "\ud800"])
async def test_content_that_postgres_cannot_store_is_refused(renderer: Renderer, value: str) -> None:
    result = await renderer.render(sms("{{ a }}"), {"a": value}, "en")
    assert isinstance(result, RenderFailure)
    assert result.reason == "output contains a NUL character or half a surrogate pair"


SECRETS = ["s3cr3t-value", "__class__", "Ada Lovelace", "undefined'x", "12345678901234567890"]
LEAKS = [
    "{{ v.nope }}",
    "{{ d[v] }}",
    "{{ v[v] }}",
    "{{ v + 1 }}",
    "{{ v() }}",
    "{{ v / 2 }}",
    "{{ v|int|round(1, v) }}",
    "{{ [v, v]|sort(attribute=v) }}",
    "{{ d.get(v).x }}",
    "{{ [d]|map(attribute=v)|list }}",
    "{{ [v]|map(v)|list }}",
    "{{ [v]|select(v)|list }}",
    "{{ v % 2 }}",
    "{{ v|list|tojson(v) }}{{ 1/0 }}",
    "{{ range(v) }}",
    "{{ dict(v) }}",
    "{{ (v|list).index('§') }}",
    "{{ v.index('§') }}",
]


@pytest.mark.parametrize(("secret", "body"), list(product(SECRETS, LEAKS)))
async def test_no_reason_quotes_the_payload(renderer: Renderer, secret: str, body: str) -> None:
    result = await renderer.render(sms(body), {"v": secret, "d": {"k": secret}}, "en")
    assert isinstance(result, RenderFailure)
    assert secret not in result.reason
