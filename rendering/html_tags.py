"""Find the tags of an HTML document in one pass and linear time.

The rules are those of the standard's tokenizer (https://html.spec.whatwg.org/multipage/parsing.html#tokenization). The
standard library's parser does not fit: it rereads the rest of the document for each unclosed construct, 22 s for 60 kB
of `<a `.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import unescape
from html.entities import html5
from typing import NamedTuple

Span = tuple[int, int]
# Start, end and replacement text.
Edit = tuple[int, int, str]

# Elements whose content is text until their end tag.
RAW_TEXT_TAGS = ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
RAW_TEXT_ENDS = {name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE | re.ASCII) for name in RAW_TEXT_TAGS}
TAG_NAME = re.compile(r"[A-Za-z][^\t\n\f\r />]*")
COMMENT_END = re.compile(r"--!?>")
ATTRIBUTE_GAP = re.compile(r"[\t\n\f\r /]*")
ATTRIBUTE_NAME = re.compile(r"=?[^\t\n\f\r />=]*")
EQUALS = re.compile(r"[\t\n\f\r ]*=[\t\n\f\r ]*")
UNQUOTED_VALUE = re.compile(r"[^\t\n\f\r >]*")
CHARACTER_REFERENCE = re.compile(r"&(#[0-9]+;?|#[xX][0-9A-Fa-f]+;?|[A-Za-z][A-Za-z0-9]*;?)(=?)")
# Decimal digits of the largest code point.
CODE_POINT_DIGITS = 7


class Tag(NamedTuple):
    """Describe a tag.

    `name` is in lower case, with a leading slash for an end tag. `start` is the position of its `<`. Attributes are in
    order, by name in lower case, with the spans of their values without quotes. `closed` is False for a tag that the
    end of the document cuts off.
    """

    name: str
    start: int
    attributes: Sequence[tuple[str, Span]] = ()
    closed: bool = True

    @property
    def values(self) -> dict[str, Span]:
        """Return the spans by name. The first of two attributes of one name counts."""
        return dict(reversed(self.attributes))


def find_tags(html: str) -> Iterator[Tag]:
    """Find the tags in order, except those in comments, scripts, styles and the like."""
    return (tag for tag in _scan(html, 0, len(html), []) if tag.closed)


def find_all_tags(html: str) -> Iterator[Tag]:
    """Find all tags, including those inside comments and raw text, and an unclosed tag.

    Outlook reads conditional comments, SVG has no raw text, and appended text can close a tag.
    """
    hidden: list[Span] = []
    yield from _scan(html, 0, len(html), hidden)
    for start, stop in hidden:
        yield from _scan(html, start, stop, [])


def apply_edits(html: str, edits: Iterable[Edit]) -> str:
    """Replace spans by texts. Spans do not overlap."""
    return "".join(_split_pieces(html, sorted(edits)))


def _split_pieces(html: str, edits: list[Edit]) -> Iterator[str]:
    done = 0
    for start, stop, text in edits:
        yield html[done:start]
        yield text
        done = stop
    yield html[done:]


def _scan(html: str, position: int, end: int, hidden: list[Span]) -> Iterator[Tag]:
    """Yield the tags between two positions, and add the spans whose content is not markup to `hidden`."""
    while (position := html.find("<", position, end)) >= 0:
        if html.startswith("<!--", position, end):
            position = _skip_comment(html, position + 4, end, hidden)
            continue
        slash = "/" if html.startswith("/", position + 1, end) else ""
        name = TAG_NAME.match(html, position + 1 + len(slash), end)
        if name is not None:
            attributes, after, closed = _scan_attributes(html, name.end(), end)
            tag = Tag(slash + name.group().lower(), position, attributes, closed)
            yield tag
            position = (
                _skip_raw_text(html, RAW_TEXT_ENDS[tag.name], after, end, hidden)
                if tag.name in RAW_TEXT_ENDS
                else after
            )
        elif slash or html.startswith(("!", "?"), position + 1, end):
            position = _position_or_end(html.find(">", position + 2, end), end) + 1
        else:
            position += 1


def _skip_comment(html: str, position: int, end: int, hidden: list[Span]) -> int:
    for empty in (">", "->"):
        if html.startswith(empty, position, end):
            return position + len(empty)
    close = COMMENT_END.search(html, position, end)
    hidden.append((position, end if close is None else close.start()))
    return end if close is None else close.end()


def _skip_raw_text(html: str, close: re.Pattern[str], position: int, end: int, hidden: list[Span]) -> int:
    found = close.search(html, position, end)
    stop = end if found is None else found.start()
    hidden.append((position, stop))
    return stop


def _scan_attributes(html: str, position: int, end: int) -> tuple[list[tuple[str, Span]], int, bool]:
    """Return the attributes, the end position of the tag, and whether it is closed."""
    attributes: list[tuple[str, Span]] = []
    while (position := _match_end(ATTRIBUTE_GAP, html, position, end)) < end:
        if html[position] == ">":
            return attributes, position + 1, True
        after = _match_end(ATTRIBUTE_NAME, html, position, end)
        span, following = _scan_value(html, after, end)
        attributes.append((html[position:after].lower(), span))
        position = following
    return attributes, end, False


def _scan_value(html: str, position: int, end: int) -> tuple[Span, int]:
    """Return the value span of the attribute whose name ends here; an empty span without a value."""
    equals = EQUALS.match(html, position, end)
    if equals is None:
        return (position, position), position
    value_start = equals.end()
    if html.startswith(('"', "'"), value_start, end):
        close = _position_or_end(html.find(html[value_start], value_start + 1, end), end)
        return (value_start + 1, close), close + 1
    stop = _match_end(UNQUOTED_VALUE, html, value_start, end)
    return (value_start, stop), stop


def _match_end(pattern: re.Pattern[str], html: str, position: int, end: int) -> int:
    match = pattern.match(html, position, end)
    return position if match is None else match.end()


def _position_or_end(position: int, end: int) -> int:
    return end if position < 0 else position


def unescape_attribute(value: str) -> str:
    """Decode an attribute's text. Unlike in text, `&copy` before a letter, a digit or `=` is not a reference: it is the
    next parameter of a URL.
    """
    return CHARACTER_REFERENCE.sub(_decode_reference, value)


def _decode_reference(match: re.Match[str]) -> str:
    name, equals = match.groups()
    if name.startswith("#"):
        return _decode_code_point(name.rstrip(";")) + equals
    known = name in html5 and (name.endswith(";") or not equals)
    return html5[name] + equals if known else match.group()


def _decode_code_point(name: str) -> str:
    """Decode a numeric reference. Leading zeros are ignored; a number too large for a character gives U+FFFD."""
    prefix, digits = ("#x", name[2:]) if name[1] in "xX" else ("#", name[1:])
    digits = digits.lstrip("0") or "0"
    return unescape(f"&{prefix}{digits};") if len(digits) <= CODE_POINT_DIGITS else "\ufffd"
