"""Test generated documents: no refused URL is left, broken markup is read, and a long document takes little time."""

import re
import time
from html.parser import HTMLParser
from itertools import product
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rendering.html_tags import find_all_tags
from rendering.templates import OUTPUT_LIMIT
from rendering.urls import replace_unsafe_urls

NONE: frozenset[str] = frozenset()


class Reference(HTMLParser):
    """Find the URLs as the library's parser reads them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if name in ("href", "src", "action") and value]


def scheme_of(address: str) -> str:
    """Return the scheme as the URL standard reads it."""
    plain = re.sub(r"[\t\n\r]", "", address.strip("".join(map(chr, range(0x21)))))
    return urlsplit(plain).scheme


pieces = st.sampled_from(
    [
        "java",
        "script",
        "vbscript",
        "data",
        ":",
        "&colon;",
        "&#58;",
        "&#x3a",
        "&Tab;",
        "\t",
        "\n",
        " ",
        "/",
        "#",
        "\x01",
        "http",
        "x",
    ]
)
urls = st.lists(pieces, max_size=8).map("".join)


@given(st.lists(st.tuples(st.sampled_from(["a href", "IMG SRC", "form action", "p title"]), urls), max_size=4))
def test_no_reader_finds_another_scheme(found: list[tuple[str, str]]) -> None:
    html = "".join(f"<{tag}='{url}'>" for tag, url in found)
    reference = Reference()
    reference.feed(replace_unsafe_urls(html, NONE))
    reference.close()
    assert {scheme_of(address) for address in reference.addresses} <= {"", "http", "https", "mailto", "tel"}


@given(st.text() | st.text("<>!-/='\" abody&;:htps.refl\n"))
def test_no_document_is_too_broken(html: str) -> None:
    once = replace_unsafe_urls(html, NONE)
    assert replace_unsafe_urls(once, NONE) == once
    assert all(tag.name for tag in find_all_tags(html))


PIECES = [
    "<a href='javascript:x'>",
    "<a href=//x>",
    "<a b='c' href='&#106;&#97;:x' style='a:url(b:c)'>",
    "<p><a href='https://example.com/?a=1&amp;b=2'>x</a></p>\n",
    "<a ",
    "<a href=' ",
    "<!--",
    "<!---->",
    "<!-- <a href='b:c'> -->",
    "<title>",
    "<title><",
    "<title></title>",
    "<script><a href=b:c></script>",
    "<",
    "<a href=x/",
    "<p style=\"url(url('\\",
    "<img srcset='a 1x,b 2x, c:d,,,'>",
    "<meta http-equiv=refresh content='url    '>",
    "\t",
]


STARTS = ["<a href='", "<a href=", "<p style='", "<img srcset='", "<meta http-equiv=refresh content='"]
INSIDE = ["&#0", "&a", "&#x0;", "\\", "url(", ",", " ,", ":", "\xa0", "url(  "]


@pytest.mark.parametrize(("start", "piece"), [*(("", piece) for piece in PIECES), *product(STARTS, INSIDE)])
def test_an_eighth_of_a_megabyte_is_processed_quickly(start: str, piece: str) -> None:
    """A template may write a whole megabyte, and must have time left to render within one second."""
    html = start + piece * ((OUTPUT_LIMIT // 8 - len(start)) // len(piece.encode()))
    began = time.process_time()
    replace_unsafe_urls(html, NONE)
    assert time.process_time() - began < 0.5
