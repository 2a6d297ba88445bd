"""Test that tags are found where a browser finds them, in linear time for every document."""

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rendering.html_tags import find_all_tags, find_tags, unescape_attribute


def links(html: str) -> list[str]:
    """Return the `href` of each link as written."""
    return [html[slice(*tag.values["href"])] for tag in find_tags(html) if tag.name == "a" and "href" in tag.values]


def names(html: str) -> list[str]:
    return [tag.name for tag in find_tags(html)]


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<a href="x">', ["x"]),
        ("<a href='x'>", ["x"]),
        ("<a href=x>", ["x"]),
        ("<a href=x/>", ["x/"]),
        ("<A HREF = \n 'x'\t>", ["x"]),
        ("<a/href=x>", ["x"]),
        ('<a class="b"href="x">', ["x"]),
        ("<a title='href=\"no\"' href=x>", ["x"]),
        ('<a title="a > b" href="x">', ["x"]),
        ("<a data-href=no href=x>", ["x"]),
        ("<a href=x href=no>", ["x"]),
        ("<a href>", [""]),
        ("<a href=>", [""]),
        ('<a href="">', [""]),
        ("<a =href=x>", []),
        ('<a href="a\'b">', ["a'b"]),
        ("<a href=a\"b'c>", ["a\"b'c"]),
        ("<abbr href=no>", []),
        ("< a href=no>", []),
        ("a < b <a href=x>", ["x"]),
        ("<<a href=x>", ["x"]),
        ("</a href=no>", []),
        ("<a\n\thref=x\n>", ["x"]),
    ],
)
def test_a_link_is_found_in_every_notation(html: str, found: list[str]) -> None:
    assert links(html) == found


@pytest.mark.parametrize(
    "hidden",
    [
        "<!-- {} -->",
        "<!--[if mso]>{}<![endif]-->",
        "<!---->",
        "<!-->",
        "<!--->",
        "<!-- {} --!>",
        "<!-- > {} -- > -->",
        "<script>{}</script>",
        "<SCRIPT type=x>'</scripts>'{}</Script >",
        "<style>a:after{{content:'{}'}}</style>",
        "<title>{}</title>",
        "<textarea>{}</textarea>",
        "<![CDATA[ x ]]>",
        "<!doctype html>",
        "<?xml version='1.0'?>",
        "</3 {no}>",
        "</>",
    ],
)
def test_text_that_is_not_markup_hides_only_itself(hidden: str) -> None:
    html = hidden.format("<a href=no>", no="no") + "<a href=x>"
    assert links(html) == ["x"]


def test_text_that_only_some_readers_hide_is_markup() -> None:
    assert links("<!--[if !mso]><!--><a href=x><!--<![endif]--><a href=y>") == ["x", "y"]
    assert links("<![if !mso]><a href=x><![endif]>") == ["x"]


@pytest.mark.parametrize(
    "open_end", ["<!-- ", "<script>", "<a title='", '<a title="', "<a title=", "<a ", "<!", "</", "<"]
)
def test_an_unclosed_element_hides_the_rest(open_end: str) -> None:
    assert links(f"<a href=x>{open_end}") == ["x"]
    assert links(f"<a href=x>{open_end}<a href=no")[1:] == []


def every_link(html: str) -> list[str]:
    return [html[slice(*span)] for tag in find_all_tags(html) for name, span in tag.attributes if name == "href"]


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("<!-- <a href=x> --><a href=y>", ["y", "x"]),
        ("<!--[if mso]><a href='x'><![endif]--><a href=y>", ["y", "x"]),
        ("<title><a href=x></title><a href=y>", ["y", "x"]),
        ("<style><a href=x><!-- <a href=no>", ["x"]),
        ("<!-- <a href='x", ["x"]),
        ("<!-- <a href='x --> <a href=y>", ["y", "x "]),
        ("<a href='x", ["x"]),
        ("<a href='x' b", ["x"]),
        ("<a href=x href=y>", ["x", "y"]),
    ],
)
def test_find_all_tags_includes_hidden_and_unclosed_tags(html: str, found: list[str]) -> None:
    assert every_link(html) == found


def test_names_are_lower_and_end_tags_have_a_slash() -> None:
    assert names("<BODY><p>x</P></Body></html>") == ["body", "p", "/p", "/body", "/html"]


@pytest.mark.parametrize(
    "piece",
    [
        "<!--",
        "<a ",
        "<a href='",
        '<a href="',
        "<script>",
        "<script></script",
        "<",
        "</",
        "<!",
        "<a href= ",
        "<a " + "b " * 50,
        "<title><",
        " ",
        "<a" + " " * 100,
        "<p><a href='https://example.com/?a=1&amp;b=2'>x</a></p>\n",
    ],
)
def test_half_a_megabyte_is_processed_quickly(piece: str) -> None:
    html = piece * (500_000 // len(piece))
    began = time.process_time()
    for _ in find_tags(html):
        pass
    assert time.process_time() - began < 2


class Oracle(HTMLParser):
    """Use the library's parser, which agrees where every tag is closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        first: dict[str, str] = {}
        for name, value in attrs:
            first.setdefault(name, value or "")
        self.found.append((tag, first))


words = st.text("abc -_.:/?é<", max_size=8)
values = st.one_of(words.map('"{}"'.format), words.map("'{}'".format), st.text("abc:.?", min_size=1, max_size=5))
attributes = st.tuples(st.sampled_from(["href", "title", "HREF", "x"]), st.sampled_from(["=", " = "]), values)
starts = st.tuples(st.sampled_from(["a", "p", "A", "area", "td"]), st.lists(attributes, max_size=3)).map(
    lambda tag: f"<{tag[0]} {' '.join(''.join(attribute) for attribute in tag[1])}>"
)
pieces = st.one_of(
    starts,
    st.sampled_from(["</a>", "</p>", "<!-- <a href=no> -->", "<style><a></style>", "<script>'<a>'</script>", "&amp;"]),
    st.text("abc \n.é", max_size=8),
)


@given(st.lists(pieces, max_size=8).map("".join))
def test_where_everything_is_closed_the_library_finds_the_same(html: str) -> None:
    oracle = Oracle()
    oracle.feed(html)
    oracle.close()
    found = [
        (tag.name, {name: html[slice(*span)] for name, span in tag.values.items()})
        for tag in find_tags(html)
        if not tag.name.startswith("/")
    ]
    assert found == oracle.found


@given(st.text("<>!-/='\" \nabc&;?sript"))
def test_no_document_is_too_broken(html: str) -> None:
    for tag in find_tags(html):
        assert html[tag.start] == "<"
        assert all(0 <= start <= end <= len(html) for start, end in tag.values.values())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a=1&amp;b=2", "a=1&b=2"),
        ("a=1&b=2", "a=1&b=2"),
        ("a=1&AMP;b=2", "a=1&b=2"),
        ("a=1&#38;b=2", "a=1&b=2"),
        ("a=1&#x26;b=2", "a=1&b=2"),
        ("a=1&#X26;b=2", "a=1&b=2"),
        ("a=1&#38b=2", "a=1&b=2"),
        ("a=1&amp;amp;b", "a=1&amp;b"),
        ("&amp;copy=1", "&copy=1"),
        ("a&#00000000058;b", "a:b"),
        ("a&#x0000000003Az", "a:z"),
        ("a&#x0000003A=", "a:="),
        ("&#0;&#x110000;&#99999999;", "\ufffd" * 3),
        ("&#" + "9" * 5_000 + ";", "\ufffd"),
        ("?a&copy=1", "?a&copy=1"),
        ("?a&copy1", "?a&copy1"),
        ("?a&copyright=1", "?a&copyright=1"),
        ("?a&copy/1", "?a©/1"),
        ("?a&copy;=1", "?a©=1"),
        ("?a&lt", "?a<"),
        ("?a&lang=de", "?a&lang=de"),
        ("?a&notit;", "?a&notit;"),
        ("&", "&"),
        ("&&amp;", "&&"),
        ("&#;", "&#;"),
        ("https&colon;&sol;&sol;x", "https://x"),
    ],
)
def test_an_attribute_is_read_as_browsers_do(written: str, meant: str) -> None:
    assert unescape_attribute(written) == meant
