"""What every response says to browsers. `Requests` adds them; a route that sets one of them itself keeps it.

Answers hold personal data, so nothing is stored by caches unless a route says otherwise. The policy lets a page load
nothing: pages that need more (`/docs`, `/outbox`) have policies of their own.
"""

from collections.abc import Iterable

Header = tuple[bytes, bytes]

DENY_ALL_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
DEFAULT_HEADERS: tuple[Header, ...] = (
    (b"content-security-policy", DENY_ALL_POLICY.encode()),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
# A year. Browsers that have read it use https only; they ignore it where it comes over plain http.
HSTS: Header = (b"strict-transport-security", b"max-age=31536000")


def security_headers(public_url: str) -> tuple[Header, ...]:
    return (*DEFAULT_HEADERS, HSTS) if public_url.startswith("https://") else DEFAULT_HEADERS


def missing_headers(wanted: Iterable[Header], given: Iterable[Header]) -> list[Header]:
    """Return those of the wanted ones whose names (in lower case) are not given."""
    names = {name for name, _ in given}
    return [header for header in wanted if header[0] not in names]
