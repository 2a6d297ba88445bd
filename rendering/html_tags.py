"""Where the tags of an HTML document are, in one pass and in linear time, by the rules of the standard's tokenizer
(https://html.spec.whatwg.org/multipage/parsing.html#tokenization). The library's parser is not for this: it reads the
rest of the document again for each thing that is unclosed, 22 s for 60 kB of `<a `.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from html.entities import html5

Span = tuple[int, int]

# Their content is text until their end tag.
RAW = ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
END_OF = {name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE | re.ASCII) for name in RAW}
NAME = re.compile(r"[A-Za-z][^\t\n\f\r />]*")
END_OF_COMMENT = re.compile(r"--!?>")
BETWEEN = re.compile(r"[\t\n\f\r /]*")
ATTRIBUTE = re.compile(r"=?[^\t\n\f\r />=]*")
EQUALS = re.compile(r"[\t\n\f\r ]*=[\t\n\f\r ]*")
UNQUOTED = re.compile(r"[^\t\n\f\r >]*")
REFERENCE = re.compile(r"&(#[0-9]{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[A-Za-z][A-Za-z0-9]*;?)(=?)")


@dataclass(frozen=True, slots=True)
class Tag:
    """`name` is in lower case, with a slash before it for an end tag; `start` is where its `<` stands. Values are spans
    without their quotes, by name in lower case; of a name that is given twice the first counts."""

    name: str
    start: int
    values: dict[str, Span] = field(default_factory=dict)


class _Unclosed(Exception):
    """The rest of the document is inside of something that has no end."""


def tags(html: str) -> Iterator[Tag]:
    """In their order, without those in comments, scripts, styles and the like."""
    place = html.find("<")
    while place >= 0:
        try:
            tag, after = _markup(html, place)
        except _Unclosed:
            return
        if tag is not None:
            yield tag
            if tag.name in END_OF:
                end = END_OF[tag.name].search(html, after)
                if end is None:
                    return
                after = end.start()
        place = html.find("<", after)


def _markup(html: str, place: int) -> tuple[Tag | None, int]:
    """What the `<` at this place begins, and where it is over."""
    if html.startswith("<!--", place):
        return None, _after_comment(html, place + 4)
    slash = "/" if html.startswith("/", place + 1) else ""
    name = NAME.match(html, place + 1 + len(slash))
    if name is not None:
        values, after = _attributes(html, name.end())
        return Tag(slash + name.group().lower(), place, values), after
    if slash or html.startswith(("!", "?"), place + 1):
        return None, _found(html.find(">", place + 2)) + 1
    return None, place + 1


def _after_comment(html: str, place: int) -> int:
    for empty in (">", "->"):
        if html.startswith(empty, place):
            return place + len(empty)
    end = END_OF_COMMENT.search(html, place)
    if end is None:
        raise _Unclosed
    return end.end()


def _attributes(html: str, place: int) -> tuple[dict[str, Span], int]:
    values: dict[str, Span] = {}
    while True:
        place = _end(BETWEEN, html, place)
        if place == len(html):
            raise _Unclosed
        if html[place] == ">":
            return values, place + 1
        after = _end(ATTRIBUTE, html, place)
        name = html[place:after].lower()
        span, place = _value(html, after)
        values.setdefault(name, span)


def _value(html: str, place: int) -> tuple[Span, int]:
    """Of the attribute whose name ends here; an empty span if it has none."""
    equals = EQUALS.match(html, place)
    if equals is None:
        return (place, place), place
    begin = equals.end()
    quote = html[begin : begin + 1]
    if quote in ('"', "'"):
        end = _found(html.find(quote, begin + 1))
        return (begin + 1, end), end + 1
    end = _end(UNQUOTED, html, begin)
    return (begin, end), end


def _end(pattern: re.Pattern[str], html: str, place: int) -> int:
    match = pattern.match(html, place)
    return place if match is None else match.end()


def _found(place: int) -> int:
    if place < 0:
        raise _Unclosed
    return place


def unescaped(value: str) -> str:
    """What an attribute's text means. Unlike in text, `&copy` before a letter, a digit or `=` is no reference there:
    it is the next parameter of an address."""
    return REFERENCE.sub(_meant, value)


def _meant(match: re.Match[str]) -> str:
    name, equals = match.groups()
    numeric = name.startswith("#")
    known = numeric or (name in html5 and (name.endswith(";") or not equals))
    return unescape(f"&{name}") + equals if known else match.group()
