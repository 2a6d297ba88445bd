"""Define the security headers of every response. `RequestIdMiddleware` adds those that the route did not set.

Responses contain personal data, so caches store nothing unless a route allows it. The policy lets a page load nothing;
pages that need more (`/docs`, `/outbox`) set their own policy.
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
# A year. Browsers that received it use https only. They ignore it over plain http.
HSTS: Header = (b"strict-transport-security", b"max-age=31536000")


def security_headers(public_url: str) -> tuple[Header, ...]:
    return (*DEFAULT_HEADERS, HSTS) if public_url.startswith("https://") else DEFAULT_HEADERS


def missing_headers(wanted: Iterable[Header], given: Iterable[Header]) -> list[Header]:
    """Return the wanted headers whose names (in lower case) are not given."""
    names = {name for name, _ in given}
    return [header for header in wanted if header[0] not in names]
