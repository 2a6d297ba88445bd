"""Where the tags of an HTML document are, in one pass and in linear time, by the rules of the standard's tokenizer
(https://html.spec.whatwg.org/multipage/parsing.html#tokenization). The library's parser is not for this: it reads the
rest of the document again for each thing that is unclosed, 22 s for 60 kB of `<a `.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import unescape
from html.entities import html5
from typing import NamedTuple

Span = tuple[int, int]
# Start, stop and the text that takes its place.
Edit = tuple[int, int, str]

# Their content is text until their end tag.
RAW = ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
END_OF = {name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE | re.ASCII) for name in RAW}
NAME = re.compile(r"[A-Za-z][^\t\n\f\r />]*")
END_OF_COMMENT = re.compile(r"--!?>")
BETWEEN = re.compile(r"[\t\n\f\r /]*")
ATTRIBUTE = re.compile(r"=?[^\t\n\f\r />=]*")
EQUALS = re.compile(r"[\t\n\f\r ]*=[\t\n\f\r ]*")
UNQUOTED = re.compile(r"[^\t\n\f\r >]*")
REFERENCE = re.compile(r"&(#[0-9]+;?|#[xX][0-9A-Fa-f]+;?|[A-Za-z][A-Za-z0-9]*;?)(=?)")
# Digits of the largest code point, in decimal.
CODE_POINT_DIGITS = 7


class Tag(NamedTuple):
    """`name` is in lower case, with a slash before it for an end tag; `start` is where its `<` stands. Attributes are
    in their order, by name in lower case, with the spans of their values without quotes. `closed` is false for a tag
    that the document ends in."""

    name: str
    start: int
    attributes: Sequence[tuple[str, Span]] = ()
    closed: bool = True

    @property
    def values(self) -> dict[str, Span]:
        """Return the spans by name; of a name that is given twice the first counts."""
        return dict(reversed(self.attributes))


def tags(html: str) -> Iterator[Tag]:
    """In their order, without those in comments, scripts, styles and the like."""
    return (tag for tag in _scan(html, 0, len(html), []) if tag.closed)


def all_tags(html: str) -> Iterator[Tag]:
    """Find also the tags inside comments and raw text, and one without an end.

    Outlook reads what is in conditional comments, SVG has no raw text, and what is appended later can close a tag.
    """
    hidden: list[Span] = []
    yield from _scan(html, 0, len(html), hidden)
    for start, stop in hidden:
        yield from _scan(html, start, stop, [])


def edited(html: str, edits: Iterable[Edit]) -> str:
    """Replace spans by texts; the spans do not overlap."""
    return "".join(_pieces(html, sorted(edits)))


def _pieces(html: str, edits: list[Edit]) -> Iterator[str]:
    done = 0
    for start, stop, text in edits:
        yield html[done:start]
        yield text
        done = stop
    yield html[done:]


def _scan(html: str, place: int, end: int, hidden: list[Span]) -> Iterator[Tag]:
    """Yield the tags between two places; add the spans whose content is no markup to `hidden`."""
    while (place := html.find("<", place, end)) >= 0:
        if html.startswith("<!--", place, end):
            place = _after_comment(html, place + 4, end, hidden)
            continue
        slash = "/" if html.startswith("/", place + 1, end) else ""
        name = NAME.match(html, place + 1 + len(slash), end)
        if name is not None:
            attributes, after, closed = _attributes(html, name.end(), end)
            tag = Tag(slash + name.group().lower(), place, attributes, closed)
            yield tag
            place = _after_raw(html, END_OF[tag.name], after, end, hidden) if tag.name in END_OF else after
        elif slash or html.startswith(("!", "?"), place + 1, end):
            place = _found(html.find(">", place + 2, end), end) + 1
        else:
            place += 1


def _after_comment(html: str, place: int, end: int, hidden: list[Span]) -> int:
    for empty in (">", "->"):
        if html.startswith(empty, place, end):
            return place + len(empty)
    close = END_OF_COMMENT.search(html, place, end)
    hidden.append((place, end if close is None else close.start()))
    return end if close is None else close.end()


def _after_raw(html: str, close: re.Pattern[str], place: int, end: int, hidden: list[Span]) -> int:
    found = close.search(html, place, end)
    stop = end if found is None else found.start()
    hidden.append((place, stop))
    return stop


def _attributes(html: str, place: int, end: int) -> tuple[list[tuple[str, Span]], int, bool]:
    """The attributes, where the tag is over, and whether it has an end."""
    attributes: list[tuple[str, Span]] = []
    while (place := _end(BETWEEN, html, place, end)) < end:
        if html[place] == ">":
            return attributes, place + 1, True
        after = _end(ATTRIBUTE, html, place, end)
        span, following = _value(html, after, end)
        attributes.append((html[place:after].lower(), span))
        place = following
    return attributes, end, False


def _value(html: str, place: int, end: int) -> tuple[Span, int]:
    """Of the attribute whose name ends here; an empty span if it has none."""
    equals = EQUALS.match(html, place, end)
    if equals is None:
        return (place, place), place
    begin = equals.end()
    if html.startswith(('"', "'"), begin, end):
        close = _found(html.find(html[begin], begin + 1, end), end)
        return (begin + 1, close), close + 1
    stop = _end(UNQUOTED, html, begin, end)
    return (begin, stop), stop


def _end(pattern: re.Pattern[str], html: str, place: int, end: int) -> int:
    match = pattern.match(html, place, end)
    return place if match is None else match.end()


def _found(place: int, end: int) -> int:
    return end if place < 0 else place


def unescaped(value: str) -> str:
    """What an attribute's text means. Unlike in text, `&copy` before a letter, a digit or `=` is no reference there:
    it is the next parameter of an address."""
    return REFERENCE.sub(_meant, value)


def _meant(match: re.Match[str]) -> str:
    name, equals = match.groups()
    if name.startswith("#"):
        return _numbered(name.rstrip(";")) + equals
    known = name in html5 and (name.endswith(";") or not equals)
    return html5[name] + equals if known else match.group()


def _numbered(name: str) -> str:
    """Zeros in front may be many; a number that is too large for a character is the replacement character."""
    prefix, digits = ("#x", name[2:]) if name[1] in "xX" else ("#", name[1:])
    digits = digits.lstrip("0") or "0"
    return unescape(f"&{prefix}{digits};") if len(digits) <= CODE_POINT_DIGITS else "\ufffd"
