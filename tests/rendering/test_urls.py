"""Test that no URL with a scheme that runs code gets from a payload into HTML, and that authors' URLs stay."""

import jinja2
import pytest

from domain.json_types import JsonValue
from rendering.messages import RenderedContent
from rendering.renderer import Renderer
from rendering.tracking import rewrite_html
from rendering.urls import READERS, find_literal_urls, is_allowed, replace_unsafe_urls
from tests.rendering.sources import email

BAD = "javascript:alert(1)"
NONE: frozenset[str] = frozenset()


async def html_of(renderer: Renderer, body: str, **variables: JsonValue) -> str:
    done = await renderer.render(email(body), variables, "en")
    assert isinstance(done, RenderedContent), done
    return str(done.content["html"])


@pytest.mark.parametrize(
    "url",
    [
        BAD,
        "JaVaScRiPt:alert(1)",
        " \t\n javascript:alert(1)",
        "\x01\x1fjavascript:alert(1)",
        "\u00a0javascript:alert(1)",
        "\u200bjavascript:alert(1)",
        "\ufeffjavascript:alert(1)",
        "java\tscr\nipt:alert(1)",
        "javascript\r\n:alert(1)",
        "java\x07script:alert(1)",
        "vbscript:msgbox(1)",
        "data:text/html,<script>alert(1)</script>",
        "data:text/html;base64,PHNjcmlwdD4=",
        "cid:logo@shop",
        "file:///etc/passwd",
        "blob:https://example.com/1",
        "view-source:https://example.com/",
        "feed:javascript:alert(1)",
        "C:\\Windows\\system32",
        "//evil.example.com/",
        "/\\evil.example.com/",
        "\\\\evil.example.com\\share",
        "/\t/evil.example.com",
        ":javascript",
        "java script:alert(1)",
        "javascript&colon;alert(1):",
    ],
)
async def test_a_variable_brings_no_other_scheme(renderer: Renderer, url: str) -> None:
    body = "<a href=\"{{ url }}\">x</a><img src='{{ url }}'>"
    assert await html_of(renderer, body, url=url) == "<a href=\"#\">x</a><img src='#'>"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/?a=1&b=2#c:d",
        "HTTP://example.com",
        "http:example.com",
        " https://example.com/ ",
        "mailto:ada@example.com?subject=a:b",
        "tel:+4917012345678",
        "/orders/7",
        "/orders//7",
        "orders/a:b",
        "./a:b",
        "?next=javascript:x",
        "#top:1",
        "",
        "10",
    ],
)
async def test_web_mail_phone_and_relative_addresses_stay(renderer: Renderer, url: str) -> None:
    body = '<a href="{{ url|safe }}">x</a>'
    assert await html_of(renderer, body, url=url) == f'<a href="{url}">x</a>'


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ("<a href={{ url }}>x</a>", "<a href=#>x</a>"),
        ("<a href={{ url }} class=b>", "<a href=# class=b>"),
        ("<A HREF = '{{ url }}'>", "<A HREF = '#'>"),
        ('<a href="{{ first }}{{ second }}">', '<a href="#">'),
        ('<a href="java{{ tail }}">', '<a href="#">'),
        ('<a href="javascript:go({{ number }})">', '<a href="#">'),
        ('<a href="{% if url %}{{ url }}{% endif %}">', '<a href="#">'),
        ('<a href="{% filter upper %}{{ url }}{% endfilter %}">', '<a href="#">'),
        ('{% set link %}<a href="{{ url }}">{% endset %}{{ link }}', '<a href="#">'),
        ('{% macro a(u) %}<a href="{{ u }}">{% endmacro %}{{ a(url) }}', '<a href="#">'),
        ('{% autoescape false %}<a href="{{ url }}">{% endautoescape %}', '<a href="#">'),
        ('{{ "<a href="|safe }}{{ url }}>', "<a href=#>"),
        ("{{ markup|safe }}", "<a href='#'>y</a>"),
        ('<a href="{{ entities|safe }}">', '<a href="#">'),
        ("<a title={{ injected }}>", "<a title=x href=#>"),
        ("<a href=x href='{{ url }}'>", "<a href=x href='#'>"),
        (
            "<!--[if mso]><v:rect href='{{ url }}'></v:rect><![endif]-->",
            "<!--[if mso]><v:rect href='#'></v:rect><![endif]-->",
        ),
        ("<noframes><a href='{{ url }}'></noframes>", "<noframes><a href='#'></noframes>"),
        ("<svg><style><a xlink:href='{{ url }}'></style></svg>", "<svg><style><a xlink:href='#'></style></svg>"),
        ("<a href='{{ url }}", "<a href='#"),
        ("<a href='{{ url }}' ", "<a href='#' "),
        ("<form action='{{ url }}'><button formaction='{{ url }}'>", "<form action='#'><button formaction='#'>"),
        ("<td background='{{ url }}'>", "<td background='#'>"),
        ("<object data='{{ url }}'>", "<object data='#'>"),
        ("<meta http-equiv=refresh content='0;url={{ url }}'>", "<meta http-equiv=refresh content='#'>"),
        ("<meta content='0, URL = \"{{ url }}\"' http-equiv=' Refresh'>", "<meta content='#' http-equiv=' Refresh'>"),
        ("<meta http-equiv=refresh content='0 {{ url }}'>", "<meta http-equiv=refresh content='#'>"),
        ("<img srcset='/a.png 1x, {{ url }} 2x'>", "<img srcset='#'>"),
        ("<img srcset='/a.png 1x,{{ url }} 2x'>", "<img srcset='#'>"),
        ("<a ping='/a {{ url }}'>", "<a ping='#'>"),
        ("<p style='background: url({{ url }})'>", "<p style='#'>"),
        ("<p style=\"background: url('{{ url }}')\">", '<p style="#">'),
        ("<p style='background: u\\72l( {{ url }})'>", "<p style='#'>"),
        ("<svg><set attributeName=href to='{{ url }}'>", "<svg><set attributeName=href to='#'>"),
        ("<svg><animate values='/a;{{ url }}'>", "<svg><animate values='#'>"),
    ],
)
async def test_a_refused_url_is_replaced_in_every_place(renderer: Renderer, body: str, after: str) -> None:
    variables: dict[str, JsonValue] = {
        "url": BAD,
        "first": "java",
        "second": "script:alert(1)",
        "tail": "script:alert(1)",
        "number": 1,
        "markup": f"<a href='{BAD}'>y</a>",
        "entities": "&#x6A;avascript&#00000000058;alert(1)",
        "injected": f"x href={BAD}",
    }
    assert await html_of(renderer, body, **variables) == after


@pytest.mark.parametrize(
    "body",
    [
        '<img src="data:image/png;base64,AAAA">{{ x }}',
        "<a href='javascript:history.back()'>{{ x }}</a>",
        "<a href=myapp://orders>{{ x }}</a>",
        "<a href='&#106;avascript:go()'>{{ x }}</a>",
        "{% for a in 'bc' %}<img src='data:image/gif,{# why #}'>{{ a }}{% endfor %}<img src='data:image/gif,'>",
        "{% raw %}<img src='data:{{ x }}'>{% endraw %}",
        "<img srcset='data:image/png,A 1x, /b.png 2x'>{{ x }}",
        "<p style='color: red; background: url(data:image/png;base64,AAAA)'>{{ x }}</p>",
        "<p style='color: {{ x }}; background: url(data:image/png;base64,AAAA)'></p>",
        "<!--[if mso]><v:fill src='data:image/png,A'/><![endif]-->{{ x }}",
        '<html xmlns:v="urn:schemas-microsoft-com:vml" xmlns:data="urn:x">{{ x }}',
        "<p>Type javascript:alert(1), or href='javascript:alert(1)'.</p>{{ x }}",
        "<p title='javascript:alert(1)' data-href='{{ js }}'>",
        "<a title='a: b' alt='{{ js }}'>{{ js }}</a>",
        "<meta name=description content='Note: {{ js }}'>",
        "<p style='{{ css }}'>",
        "<img srcset='{{ web }} 1x,{{ web }} 2x, {{ web }} 3x'>",
    ],
)
async def test_text_of_the_author_stays_byte_for_byte(renderer: Renderer, body: str) -> None:
    variables: dict[str, JsonValue] = {
        "x": "hi",
        "js": BAD,
        "css": "color: red; width: calc(1px)",
        "web": "https://x.y/a,b",
    }
    unfiltered = jinja2.Environment(autoescape=True).from_string(body).render(variables)
    assert await html_of(renderer, body, **variables) == unfiltered


async def test_one_literal_address_allows_no_other(renderer: Renderer) -> None:
    body = "<a href='javascript:history.back()'><a href='{{ url }}'>"
    after = await html_of(renderer, body, url=BAD)
    assert after == "<a href='javascript:history.back()'><a href='#'>"


async def test_the_text_part_has_no_refused_address(renderer: Renderer) -> None:
    body = "<p><a href='{{ bad }}'>open</a> <a href='{{ good }}'>shop</a></p>"
    done = await renderer.render(email(body), {"bad": BAD, "good": "https://x.y/"}, "en")
    assert isinstance(done, RenderedContent)
    assert done.content["text"] == "open shop (https://x.y/)"


def test_tracking_leaves_refused_urls_and_rewrites_the_others() -> None:
    html = replace_unsafe_urls(f"<a href='{BAD}'>x</a><a href=https://x.y/>", NONE)
    pixel = "https://p.q/1"
    assert rewrite_html(html, pixel, lambda target: f"[{target}]").startswith(
        "<a href='#'>x</a><a href=[https://x.y/]>"
    )


def test_the_pixel_closes_no_tag_with_a_refused_address() -> None:
    tracked = rewrite_html(replace_unsafe_urls(f"<a href='{BAD}' x=\"", NONE), "https://p.q/1", None)
    assert "javascript" not in tracked


def test_only_urls_with_other_schemes_are_literals() -> None:
    skeleton = "<a href='https://x.y/'><a href='data:a'><a href='data:\0'><img src='/b'>"
    assert find_literal_urls(skeleton) == {"data:a"}
    assert is_allowed("/b")
    assert "href" in READERS
