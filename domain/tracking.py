"""Sign what our pixel, our links and web push messages carry: the message and, for a link, its target. The content is
not secret, but only this installation can create it."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from domain.evidence import ReceiptKind

# The kinds in a path and a token: an opening, a click, and a web push message, whose browser also reports clicks.
LETTERS: dict[ReceiptKind, bytes] = {
    ReceiptKind.OPENED: b"o",
    ReceiptKind.CLICKED: b"c",
    ReceiptKind.DELIVERED: b"p",
}

MAC = 16  # bytes, of the 32 of SHA-256
UUID_BYTES = 16
# Bytes. Many mail programs break longer addresses.
TARGET_LIMIT = 2_000
TOKEN_LIMIT = 3_000
TRIMMED_CHARACTERS = "".join(map(chr, range(0x21)))


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedAction:
    """Describe an opening, a click or the arrival of a web push message. Only a click has a `target`."""

    kind: ReceiptKind
    attempt_id: UUID
    provider: str
    target: str = ""


class TraceSigner:
    """Sign and read tokens. `secret` is the installation's: links are invalid after it changes."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"tocsin tracking", "sha256")

    def token(self, trace: TrackedAction) -> str:
        """Return a token of letters, digits, `-` and `_`."""
        provider = trace.provider.encode()
        head = LETTERS[trace.kind] + trace.attempt_id.bytes + bytes([len(provider)])
        body = head + provider + trace.target.encode()
        return urlsafe_b64encode(self._mac(body) + body).decode().rstrip("=")

    def read(self, token: str, kind: ReceiptKind) -> TrackedAction | None:
        """Return the content; None if it was not signed by us for this purpose."""
        signed = _decoded(token)
        mac, body = signed[:MAC], signed[MAC:]
        if not hmac.compare_digest(self._mac(body), mac) or not body.startswith(LETTERS[kind]):
            return None
        attempt, rest = body[1 : 1 + UUID_BYTES], body[1 + UUID_BYTES :]
        provider, target = rest[1 : 1 + rest[0]].decode(), rest[1 + rest[0] :].decode()
        if kind is ReceiptKind.CLICKED and normalize_target(target) != target:
            return None
        return TrackedAction(kind=kind, attempt_id=UUID(bytes=attempt), provider=provider, target=target)

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:MAC]


def _decoded(token: str) -> bytes:
    """Return empty bytes for an invalid token; each value has one spelling."""
    if len(token) > TOKEN_LIMIT or not token.isascii():
        return b""
    try:
        value = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return b""
    return value if urlsafe_b64encode(value).decode().rstrip("=") == token else b""


def normalize_target(address: str) -> str | None:
    """Return an http or https address as a browser reads it. Return None for addresses that are not tracked: other
    schemes, relative ones, international hosts, and those that parsers read differently."""
    cleaned = address.strip(TRIMMED_CHARACTERS)
    for whitespace in "\t\r\n":
        cleaned = cleaned.replace(whitespace, "")
    if not cleaned.isprintable() or "\\" in cleaned or len(cleaned.encode()) > TARGET_LIMIT:
        return None
    try:
        parts = urlsplit(cleaned)
    except ValueError:
        return None
    named = parts.netloc != "" and parts.netloc.isascii() and " " not in parts.netloc
    return cleaned if parts.scheme in ("http", "https") and named else None
