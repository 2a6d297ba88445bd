"""Restrict URLs that variables put into the HTML of an email: only web, mail, phone and relative URLs.

A payload may come from end users, so a URL with another scheme, such as `javascript:`, is replaced and fails no
delivery. The author's own URLs in the template stay unchanged. Called by `templates` with the rendered HTML.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rendering.html_tags import Edit, Tag, apply_edits, find_all_tags, unescape_attribute

ALLOWED_SCHEMES = frozenset({"http", "https", "mailto", "tel"})
# Replaces a refused value. It is not empty: an unquoted empty value would swallow the next attribute.
REPLACEMENT_URL = "#"
# Placeholder of each expression in the text of a template. Output and stored templates have no NUL.
EXPRESSION_MARK = "\0"

# Browsers drop white space and control characters at the start, line breaks and tabs inside; some mail programs more.
IGNORED_CHARACTERS = re.compile(
    r"[\0-\x20\x7f-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]+"
)
SCHEME_PART = re.compile(r"[^/\\?#]*")
HOST_PREFIX = re.compile(r"[/\\]{2}")
WHITESPACE = re.compile(r"[\t\n\f\r ]+")
# A comma ends a candidate of a srcset after its descriptor, and at the end of a URL.
SRCSET_SEPARATOR = re.compile(r",?[\t\n\f\r ]+,?|(?<=[wxhWXH]),")
REFRESH_PREFIX = re.compile(r"[\t\n\f\r ]*[0-9.]*[\t\n\f\r ;,]*(?:url[\t\n\f\r ]*=)?[\t\n\f\r ]*[\"']?", re.IGNORECASE)
CSS_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})[\t\n\f\r ]?|(.))", re.DOTALL)
CSS_URL = re.compile(r"url\([\t\n\f\r ]*[\"']?([^\"')]*)", re.IGNORECASE)

AddressReader = Callable[[str], list[str]]


def _read_whole(value: str) -> list[str]:
    return [value]


def _read_refresh(value: str) -> list[str]:
    start = REFRESH_PREFIX.match(value)
    return [value if start is None else value[start.end() :]]


def _read_css(value: str) -> list[str]:
    return CSS_URL.findall(CSS_ESCAPE.sub(_decode_css_escape, value))


def _decode_css_escape(match: re.Match[str]) -> str:
    digits, plain = match.groups()
    if digits is None:
        return "" if plain == "\n" else str(plain)
    return chr(int(digits, 16)) if int(digits, 16) <= 0x10FFFF else "\ufffd"


# By name without a namespace: how to find the URLs in a value.
READERS: dict[str, AddressReader] = {
    **dict.fromkeys(("href", "src", "action", "formaction", "background", "poster", "cite", "longdesc"), _read_whole),
    **dict.fromkeys(("dynsrc", "lowsrc", "codebase", "classid", "manifest", "profile", "usemap", "icon"), _read_whole),
    **dict.fromkeys(("srcset", "imagesrcset"), SRCSET_SEPARATOR.split),
    **dict.fromkeys(("ping", "archive"), WHITESPACE.split),
    "style": _read_css,
}
# Attributes that hold a URL in these tags only.
READERS_BY_TAG: dict[str, dict[str, AddressReader]] = {
    "object": {"data": _read_whole},
    "animate": dict.fromkeys(("to", "from", "by"), _read_whole) | {"values": re.compile(";").split},
    "set": {"to": _read_whole},
}


@dataclass(frozen=True, slots=True)
class _AttributeValue:
    start: int
    stop: int
    addresses: list[str]


def replace_unsafe_urls(html: str, literals: frozenset[str]) -> str:
    """Replace each value with a URL that is neither allowed nor literally in the template."""
    return apply_edits(html, _find_edits(html, literals))


def find_literal_urls(skeleton: str) -> frozenset[str]:
    """Return the author's URLs with other schemes. `skeleton` has `EXPRESSION_MARK` in place of expressions."""
    found = (address for value in _find_values(skeleton) for address in value.addresses)
    return frozenset(address for address in found if EXPRESSION_MARK not in address and not is_allowed(address))


def is_allowed(address: str) -> bool:
    """Return whether the URL has an allowed scheme or is relative. Mail programs may read `//host` as a file:
    refused.
    """
    plain = IGNORED_CHARACTERS.sub("", address)
    if HOST_PREFIX.match(plain):
        return False
    head = SCHEME_PART.match(plain)
    scheme, colon, _ = (head.group() if head else "").partition(":")
    return not colon or scheme.lower() in ALLOWED_SCHEMES


def _find_edits(html: str, literals: frozenset[str]) -> Iterator[Edit]:
    for value in _find_values(html):
        if any(address not in literals and not is_allowed(address) for address in value.addresses):
            yield value.start, value.stop, REPLACEMENT_URL


def _find_values(html: str) -> Iterator[_AttributeValue]:
    for tag in find_all_tags(html):
        tag_readers = _readers_of(html, tag)
        for name, (start, stop) in tag.attributes:
            local_name = name.rpartition(":")[2]
            reader = READERS.get(local_name) or tag_readers.get(local_name)
            if reader is not None and start < stop:
                yield _AttributeValue(start, stop, reader(unescape_attribute(html[start:stop])))


def _readers_of(html: str, tag: Tag) -> dict[str, AddressReader]:
    if tag.name != "meta":
        return READERS_BY_TAG.get(tag.name, {})
    http_equivs = [unescape_attribute(html[slice(*span)]) for name, span in tag.attributes if name == "http-equiv"]
    return (
        {"content": _read_refresh} if any(http_equiv.strip().lower() == "refresh" for http_equiv in http_equivs) else {}
    )
