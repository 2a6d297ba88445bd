"""Rich fields of push templates: inspection, rendering, and URLs that a payload may not set."""

from typing import Any

import pytest

from domain.channels import Channel
from domain.json_types import JsonValue
from rendering.messages import Inspection, RenderedContent, RenderFailure, TemplateSource
from rendering.push_fields import NO_BADGE, NO_IMAGE_URL, NO_LINK, TOO_LONG
from rendering.renderer import Renderer

SYNTAX_ERROR = "syntax error: unexpected end of template, expected 'end of print statement'"
ORDER: dict[str, JsonValue] = {"id": 7, "photo": "https://shop.test/7.png", "empty": "", "many": 1234567}
RICH = {
    "image": "{{ photo }}",
    "link": "shop://orders/{{ id }}",
    "actions": [
        {"action": "track", "title": "Track\n {{ id }}", "link": "https://shop.test/{{ id }}"},
        {"action": "later", "title": "Later"},
        {"action": "none", "title": "{{ empty }}"},
    ],
    "badge": "{{ id + 1 }}",
    "sound": "order.caf",
    "data": {"order": "{{ id }}", "image": " {{ empty }}"},
}


def push(fields: Any, channel: Channel = Channel.PUSH) -> TemplateSource:
    return TemplateSource(subject="T", body="B", text=None, channel=channel, push=fields)


@pytest.mark.parametrize("channel", [Channel.PUSH, Channel.WEB_PUSH, Channel.IN_APP])
async def test_every_text_of_the_fields_is_a_template(renderer: Renderer, channel: Channel) -> None:
    expected: Any = {
        "title": "T",
        "body": "B",
        "image": "https://shop.test/7.png",
        "link": "shop://orders/7",
        "actions": [
            {"action": "track", "title": "Track 7", "link": "https://shop.test/7"},
            {"action": "later", "title": "Later"},
        ],
        "badge": 8,
        "sound": "order.caf",
        "data": {"order": "7", "image": " "},
    }
    assert await renderer.render(push(RICH, channel), ORDER, "en") == RenderedContent(content=expected)


async def test_the_variables_of_the_fields_are_found(renderer: Renderer) -> None:
    fields = {"image": "{{ photo }}", "link": "{{ link|default('shop://a') }}", "data": {"a": "{{ b }}"}}
    assert await renderer.inspect(push(fields)) == Inspection(variables={"photo", "link", "b"}, needed={"photo", "b"})


@pytest.mark.parametrize(
    ("fields", "part", "reason"),
    [
        ({"link": "javascript:alert({{ id }})"}, "push/link", NO_LINK),
        ({"link": "http://shop.test/{{ id }}"}, "push/link", NO_LINK),
        ({"image": "shop://{{ id }}"}, "push/image", NO_IMAGE_URL),
        ({"actions": [{"action": "a", "title": "A", "link": "data:{{ id }}"}]}, "push/actions/0/link", NO_LINK),
        ({"sound": "{{ id"}, "push/sound", SYNTAX_ERROR),
    ],
)
async def test_an_unsafe_url_of_the_author_is_refused(renderer: Renderer, fields: Any, part: str, reason: str) -> None:
    result = await renderer.inspect(push(fields))
    assert isinstance(result, RenderFailure)
    assert (result.part, result.reason) == (part, reason)


@pytest.mark.parametrize(
    "fields",
    [
        {"link": "{{ link }}", "image": "{{ image }}"},
        {"link": "https://{{ host }}/{% if a is defined %}a{% endif %}", "image": "  https://shop.test/{{ id }}\n"},
        {"link": "shop://{{ id }}"},
        {"data": {"link": "javascript:alert(1)"}},
    ],
)
async def test_a_url_is_inspected_as_far_as_the_author_wrote_it(renderer: Renderer, fields: Any) -> None:
    assert isinstance(await renderer.inspect(push(fields)), Inspection)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "javascript://%0aalert(1)", "http://a.test", "//a.test", ""])
async def test_an_unsafe_url_of_a_payload_is_omitted(renderer: Renderer, url: str) -> None:
    action = {"action": "a", "title": "A", "link": "{{ url }}"}
    fields = {"image": "{{ url }}", "link": "{{ url }}", "actions": [action]}
    expected: Any = {"title": "T", "body": "B", "actions": [{"action": "a", "title": "A"}]}
    assert await renderer.render(push(fields), {"url": url}, "en") == RenderedContent(content=expected)


@pytest.mark.parametrize(
    ("badge", "expected"),
    [(0, 0), ("{{ empty }}", None), (" 1000000 ", 1_000_000), ("{{ many }}", NO_BADGE), ("-1", NO_BADGE)]
    + [(text, NO_BADGE) for text in ("two", "1.5", "²", "٣")],
)
async def test_a_badge_is_a_whole_number(renderer: Renderer, badge: str, expected: Any) -> None:
    result = await renderer.render(push({"badge": badge}), ORDER, "en")
    if isinstance(expected, str):
        assert result == RenderFailure(reason=NO_BADGE, part="push/badge")
    else:
        assert isinstance(result, RenderedContent)
        assert result.content.get("badge") == expected


async def test_a_field_that_no_message_can_hold_fails(renderer: Renderer) -> None:
    source = push({"data": {"a": "{{ text }}"}})
    assert isinstance(await renderer.render(source, {"text": "é" * 2048}, "en"), RenderedContent)
    too_long = await renderer.render(source, {"text": "é" * 2048 + "a"}, "en")
    assert too_long == RenderFailure(reason=TOO_LONG, part="push/data/a")
