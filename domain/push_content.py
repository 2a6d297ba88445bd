"""Define the rich content of push and web_push messages: its limits, its checks, and how it is fitted into a vendor's
size. Pure. `rendering` checks what a template gave; adapters fit it.

The content has `title` and `body` and optionally `image`, `link`, `actions` (`{action, title, link?}`), `badge`,
`sound` and `data`.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import takewhile

from domain.json_types import Json

MAX_ACTIONS = 3
MAX_DATA = 30
MAX_BADGE = 1_000_000
MAX_URL_LENGTH = 2048
MAX_NAME_LENGTH = 64
# The reason of a message that cannot be shortened enough.
TOO_LARGE = "too_large"
# Dropped in this order if a short body is still too large. `data` is what the app works with.
DROP_ORDER = ("image", "actions", "data", "link", "sound")
# As long as something can be dropped, the body keeps this many characters.
SHORT_BODY = 80
ELLIPSIS = "…"

NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Names that FCM, APNs or Tocsin use for their own values:
# https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#Message.FIELDS.data
RESERVED_NAMES = frozenset(
    {"aps", "from", "message_type", "collapse_key", "notification", "notification_id", "attempt_id"}
)
RESERVED_PREFIXES = ("google", "gcm", "tocsin")
HTTPS_URL = re.compile(r"https://[^\s/?#\\@]+([/?#]\S*)?", re.IGNORECASE)
APP_LINK = re.compile(r"([a-z][a-z0-9+.-]*)://\S+", re.IGNORECASE)
# They run code, read files or start any app of the device.
REFUSED_SCHEMES = frozenset(
    {
        *("about", "android-app", "blob", "content", "data", "file", "filesystem", "ftp", "http", "intent"),
        *("javascript", "jar", "vbscript", "view-source", "ws", "wss"),
    }
)

Measure = Callable[[Json], int]


def is_https_url(text: str) -> bool:
    return _is_plain(text) and HTTPS_URL.fullmatch(text) is not None


def is_safe_link(text: str) -> bool:
    """Return whether the text is an https URL or the link of an app, such as `shop://orders/1`."""
    match = APP_LINK.fullmatch(text) if _is_plain(text) else None
    if match is None:
        return False
    scheme = match[1].lower()
    return is_https_url(text) if scheme == "https" else scheme not in REFUSED_SCHEMES


def is_data_name(name: str) -> bool:
    """Return whether a message may have this name in `data`."""
    lowered = name.lower()
    return is_action_name(name) and lowered not in RESERVED_NAMES and not lowered.startswith(RESERVED_PREFIXES)


def is_action_name(name: str) -> bool:
    return len(name) <= MAX_NAME_LENGTH and NAME.fullmatch(name) is not None


def fit_push_content(content: Json, limit: int, measure: Measure) -> Json | None:
    """Return the content with which `measure`, the bytes of the vendor's message, is at most `limit`.

    The body is shortened first, to no less than SHORT_BODY characters. Then fields are dropped in DROP_ORDER, each only
    if it must be, and then the body. Return None if the title alone is too long: refuse the message as TOO_LARGE.
    """
    if measure(content) <= limit:
        return content
    # Of any encoding, each character has at least one byte.
    content = {**content, "body": _shorten(content["body"], limit)}
    for kept in _reduce(content):
        if measure({**kept, "body": _shorten(content["body"], SHORT_BODY)}) <= limit:
            return _with_longest_body(kept, limit, measure)
    return _with_longest_body(kept, limit, measure) if measure({**kept, "body": ""}) <= limit else None


def _reduce(content: Json) -> Iterator[Json]:
    yield content
    for name in DROP_ORDER:
        content = {key: value for key, value in content.items() if key != name}
        yield content


def _with_longest_body(content: Json, limit: int, measure: Measure) -> Json:
    """Find the longest body that fits, by halving the range of its possible lengths."""
    body, fits, too_long = content["body"], 0, len(content["body"]) + 1
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if measure({**content, "body": _shorten(body, middle)}) <= limit:
            fits = middle
        else:
            too_long = middle
    return {**content, "body": _shorten(body, fits)}


def _shorten(text: str, length: int) -> str:
    """Return at most `length` code points, the last of them an ellipsis if the text is cut."""
    if len(text) <= length:
        return text
    end = length - len(ELLIPSIS)
    while end > 0 and not _can_cut(text, end):
        end -= 1
    return text[:end].rstrip() + ELLIPSIS if end > 0 else ""


def _can_cut(text: str, at: int) -> bool:
    """Return whether a character ends there, as a reader sees it: an emoji or a letter with marks has several code
    points."""
    before, after = text[at - 1], text[at]
    if "\u200d" in (before, after) or unicodedata.category(after).startswith("M") or _is_modifier(after):
        return False
    flags = sum(1 for _ in takewhile(_is_flag_letter, reversed(text[:at])))
    return not (_is_flag_letter(after) and flags % 2)


def _is_modifier(char: str) -> bool:
    """Return whether the character changes the emoji before it: a skin tone, or a tag of a flag."""
    return "\U0001f3fb" <= char <= "\U0001f3ff" or "\U000e0020" <= char <= "\U000e007f"


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _is_plain(text: str) -> bool:
    """Return whether the text is short, and every character of it is visible: others can hide a scheme."""
    return len(text) <= MAX_URL_LENGTH and text.isprintable() and " " not in text
