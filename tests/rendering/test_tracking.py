"""Test the pixel and the links of an email: inserted in the right places, with all other bytes unchanged."""

import time
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.channels import Channel
from domain.evidence import ReceiptKind
from domain.notification_types import TrackingOptions
from domain.outgoing_messages import OutgoingMessage
from domain.tracking import TraceSigner
from rendering.tracking import PIXEL, Tracker, rewrite_html
from tests.outgoing_messages import outgoing_message

BASE = "https://t.example.com"
SIGNER = TraceSigner(b"secret")
TRACKER = Tracker(SIGNER, BASE)
BOTH = TrackingOptions(opens=True, clicks=True)


def linked(html: str) -> str:
    """Replace links by their targets in brackets, so that a test can read both."""
    return rewrite_html(html, None, lambda target: f"[{target}]")


@pytest.mark.parametrize(
    ("html", "after"),
    [
        ('<a href="https://x.y/">', '<a href="[https://x.y/]">'),
        ("<a href='https://x.y/' class=b>", "<a href='[https://x.y/]' class=b>"),
        ("<a href=https://x.y/>z</a>", "<a href=[https://x.y/]>z</a>"),
        ('<A HREF="HTTPS://x.y/">', '<A HREF="[HTTPS://x.y/]">'),
        ('<a href=" https://x.y/\n">', '<a href="[https://x.y/]">'),
        ('<a href="https://x.y/?a=1&amp;b=2">', '<a href="[https://x.y/?a=1&amp;b=2]">'),
        ('<a href="https://x.y/?a=1&copy=2">', '<a href="[https://x.y/?a=1&amp;copy=2]">'),
        ("<a href='https://x.y/&#39;\"'>", "<a href='[https://x.y/&#x27;&quot;]'>"),
        ('<area href="http://x.y/">', '<area href="[http://x.y/]">'),
        (
            '<a href="https://x.y/">1</a><a href="https://z.y/">',
            '<a href="[https://x.y/]">1</a><a href="[https://z.y/]">',
        ),
    ],
)
def test_a_link_is_replaced_in_its_own_quotes(html: str, after: str) -> None:
    assert linked(html) == after


@pytest.mark.parametrize(
    "html",
    [
        '<a href="mailto:ada@example.com">',
        '<a href="tel:+4917012345678">',
        '<a href="#top">',
        '<a href="/relative">',
        '<a href="//x.y/">',
        '<a href="javascript:alert(1)">',
        '<a href="https://xä.y/">',
        '<a href="">',
        "<a>",
        '<a name="https://x.y/">',
        '<link href="https://x.y/">',
        '<base href="https://x.y/">',
        '<img src="https://x.y/">',
        '<p data-x="<a href=https://x.y/>">',
        '<!-- <a href="https://x.y/"> -->',
        '<!--[if mso]><v:roundrect href="https://x.y/"><a href="https://x.y/"><![endif]-->',
        "<script>'<a href=\"https://x.y/\">'</script>",
        "<style>/* <a href=https://x.y/> */</style>",
        "https://x.y/",
        "&lt;a href=https://x.y/&gt;",
        '<a href="https://x.y/',
        "\r\n\x00é\ud800 <p \t>",
        "",
    ],
)
def test_all_other_html_stays_byte_for_byte(html: str) -> None:
    assert linked(html) == html
    assert rewrite_html(html, None, None) == html


@pytest.mark.parametrize(
    ("html", "place"),
    [
        ("<body>x</body></html>", "<body>x|</body></html>"),
        ("<BODY>x</BODY >\n", "<BODY>x|</BODY >\n"),
        ("<html>x</html>\n", "<html>x|</html>\n"),
        ("<p>x</p>", "<p>x</p>|"),
        ("", "|"),
        ("a</body>b</body>c", "a</body>b|</body>c"),
        ("a</html>b</body>c", "a</html>b|</body>c"),
        ("<!-- </body> -->a</body><!-- </body> -->", "<!-- </body> -->a|</body><!-- </body> -->"),
        ("<style></body></style>a", "<style></body></style>a|"),
        ('<p title="</body>">a', '<p title="</body>">a|'),
    ],
)
def test_the_pixel_stands_at_the_end_of_the_body(html: str, place: str) -> None:
    assert rewrite_html(html, "https://p.q/1", None) == place.replace("|", PIXEL.format("https://p.q/1"))


def message(**changed: Any) -> OutgoingMessage:
    content = {"subject": "Hi", "text": "https://x.y/", "html": '<a href="https://x.y/?a&amp;b">x</a>'}
    return outgoing_message(**{"content": content, **changed})


def test_a_tracked_message_links_to_the_tracker_and_its_attempt() -> None:
    before = message()
    after = TRACKER.add_tracking(before, "smtp", BOTH)
    click, pixel = (part.partition('"')[0] for part in after.content["html"].split('="https')[1:])
    assert click.startswith("://t.example.com/t/c/")
    assert pixel.startswith("://t.example.com/t/o/")
    clicked = SIGNER.read(unescape(click).rpartition("/")[2], ReceiptKind.CLICKED)
    opened = SIGNER.read(unescape(pixel).rpartition("/")[2], ReceiptKind.OPENED)
    assert clicked is not None
    assert opened is not None
    assert (clicked.attempt_id, clicked.provider, clicked.target) == (before.attempt_id, "smtp", "https://x.y/?a&b")
    assert (opened.attempt_id, opened.provider) == (before.attempt_id, "smtp")
    assert {**after.content, "html": None} == {**before.content, "html": None}
    assert before.content["html"] == '<a href="https://x.y/?a&amp;b">x</a>'


def test_opens_and_clicks_are_switched_one_by_one() -> None:
    opens = TRACKER.add_tracking(message(), "smtp", TrackingOptions(opens=True)).content["html"]
    clicks = TRACKER.add_tracking(message(), "smtp", TrackingOptions(clicks=True)).content["html"]
    assert ("/t/o/" in opens, "/t/c/" in opens) == (True, False)
    assert ("/t/o/" in clicks, "/t/c/" in clicks) == (False, True)


@pytest.mark.parametrize(
    ("more", "tracking"),
    [
        ({}, TrackingOptions()),
        ({"channel": Channel.WEBHOOK}, BOTH),
        ({"content": {"subject": "Hi", "text": "https://x.y/"}}, BOTH),
        ({"content": {"subject": "Hi", "text": "", "html": ""}}, BOTH),
    ],
)
def test_an_untracked_message_is_sent_unchanged(more: dict[str, Any], tracking: TrackingOptions) -> None:
    plain = message(**more)
    assert TRACKER.add_tracking(plain, "smtp", tracking) is plain


@pytest.mark.parametrize("page", ["unsubscribe/abc", "preferences/abc?lang=de", "t/c/abc"])
def test_links_to_tocsin_pages_are_not_rewritten(page: str) -> None:
    html = f'<a href="{BASE}/{page}">x</a>'
    own = message(content={"html": html})
    assert TRACKER.add_tracking(own, "smtp", TrackingOptions(clicks=True)).content["html"] == html


@pytest.mark.parametrize("page", ["unsubscribed", "shop/unsubscribe/", ""])
def test_links_to_other_pages_of_the_same_host_are_rewritten(page: str) -> None:
    other = message(content={"html": f'<a href="{BASE}/{page}">x</a>'})
    assert "/t/c/" in TRACKER.add_tracking(other, "smtp", TrackingOptions(clicks=True)).content["html"]


def test_a_repeated_attempt_of_a_call_is_the_same_message() -> None:
    first = message()
    assert TRACKER.add_tracking(first, "smtp", BOTH) == TRACKER.add_tracking(replace(first), "smtp", BOTH)


def test_half_a_megabyte_is_done_in_time() -> None:
    html = "<p>Hello <a href='https://example.com/?a=1&amp;b=2'>x</a></p>\n" * 8_000
    long = message(content={"html": html})
    began = time.process_time()
    after = TRACKER.add_tracking(long, "smtp", BOTH).content["html"]
    assert time.process_time() - began < 2
    assert after.count("/t/c/") == 8_000


@given(st.text() | st.text("<>!-/='\" abody&;:htps.refl"))
def test_no_document_is_too_broken_to_go_out(html: str) -> None:
    """An error here would leave a message in doubt that was not sent."""
    assert (
        TRACKER.add_tracking(message(content={"html": html}), "smtp", BOTH).content["html"].count(f"{BASE}/t/o/") <= 1
    )
    assert rewrite_html(html, None, None) == html
