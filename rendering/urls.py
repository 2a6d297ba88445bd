"""Addresses in the HTML of an e-mail that come from variables: only web, mail and phone addresses, and relative ones.

A payload may come from end users, so an address with another scheme, such as `javascript:`, is replaced and fails no
delivery. What the author wrote in the template stays as it is. Called by `templates` with the rendered HTML.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rendering.html_tags import Edit, Tag, all_tags, edited, unescaped

SCHEMES = frozenset({"http", "https", "mailto", "tel"})
# Takes the place of a refused value. It is not empty: an unquoted empty value would swallow the next attribute.
REFUSED = "#"
# Stands for each expression in the text of a template. Output and stored templates have no NUL.
EXPRESSION = "\0"

# Browsers drop white space and control characters at the start, line breaks and tabs inside; some mail programs more.
IGNORED = re.compile(r"[\0-\x20\x7f-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]+")
HEAD = re.compile(r"[^/\\?#]*")
HOST = re.compile(r"[/\\]{2}")
BLANKS = re.compile(r"[\t\n\f\r ]+")
# A comma ends a candidate of a srcset behind its descriptor, and at the end of an address.
CANDIDATES = re.compile(r",?[\t\n\f\r ]+,?|(?<=[wxhWXH]),")
REFRESH = re.compile(r"[\t\n\f\r ]*[0-9.]*[\t\n\f\r ;,]*(?:url[\t\n\f\r ]*=)?[\t\n\f\r ]*[\"']?", re.IGNORECASE)
CSS_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})[\t\n\f\r ]?|(.))", re.DOTALL)
CSS_URL = re.compile(r"url\([\t\n\f\r ]*[\"']?([^\"')]*)", re.IGNORECASE)

Reader = Callable[[str], list[str]]


def _whole(value: str) -> list[str]:
    return [value]


def _refresh(value: str) -> list[str]:
    start = REFRESH.match(value)
    return [value if start is None else value[start.end() :]]


def _css(value: str) -> list[str]:
    return CSS_URL.findall(CSS_ESCAPE.sub(_css_character, value))


def _css_character(match: re.Match[str]) -> str:
    digits, plain = match.groups()
    if digits is None:
        return "" if plain == "\n" else str(plain)
    return chr(int(digits, 16)) if int(digits, 16) <= 0x10FFFF else "\ufffd"


# By name without a namespace: how the addresses in a value are found.
READERS: dict[str, Reader] = {
    **dict.fromkeys(("href", "src", "action", "formaction", "background", "poster", "cite", "longdesc"), _whole),
    **dict.fromkeys(("dynsrc", "lowsrc", "codebase", "classid", "manifest", "profile", "usemap", "icon"), _whole),
    **dict.fromkeys(("srcset", "imagesrcset"), CANDIDATES.split),
    **dict.fromkeys(("ping", "archive"), BLANKS.split),
    "style": _css,
}
# Attributes that hold an address in these tags alone.
READERS_OF: dict[str, dict[str, Reader]] = {
    "object": {"data": _whole},
    "animate": dict.fromkeys(("to", "from", "by"), _whole) | {"values": re.compile(";").split},
    "set": {"to": _whole},
}


@dataclass(frozen=True, slots=True)
class _Value:
    start: int
    stop: int
    addresses: list[str]


def safe_urls(html: str, literals: frozenset[str]) -> str:
    """Replace each value with an address that is not allowed and is none of those that the template has literally."""
    return edited(html, _edits(html, literals))


def literal_urls(skeleton: str) -> frozenset[str]:
    """Return the addresses with other schemes that an author wrote; `skeleton` has `EXPRESSION` for expressions."""
    found = (address for value in _values(skeleton) for address in value.addresses)
    return frozenset(address for address in found if EXPRESSION not in address and not is_allowed(address))


def is_allowed(address: str) -> bool:
    """Return whether it has one of our schemes, or is relative. Mail programs may read `//host` as a file: refused."""
    plain = IGNORED.sub("", address)
    if HOST.match(plain):
        return False
    head = HEAD.match(plain)
    scheme, colon, _ = (head.group() if head else "").partition(":")
    return not colon or scheme.lower() in SCHEMES


def _edits(html: str, literals: frozenset[str]) -> Iterator[Edit]:
    for value in _values(html):
        if any(address not in literals and not is_allowed(address) for address in value.addresses):
            yield value.start, value.stop, REFUSED


def _values(html: str) -> Iterator[_Value]:
    for tag in all_tags(html):
        own = _readers_of(html, tag)
        for name, (start, stop) in tag.attributes:
            local = name.rpartition(":")[2]
            reader = READERS.get(local) or own.get(local)
            if reader is not None and start < stop:
                yield _Value(start, stop, reader(unescaped(html[start:stop])))


def _readers_of(html: str, tag: Tag) -> dict[str, Reader]:
    if tag.name != "meta":
        return READERS_OF.get(tag.name, {})
    kinds = [unescaped(html[slice(*span)]) for name, span in tag.attributes if name == "http-equiv"]
    return {"content": _refresh} if any(kind.strip().lower() == "refresh" for kind in kinds) else {}
