"""Send HTTP requests to vendors: one attempt, one deadline, no redirects, a limited response, and what it proves.

Adapters call it. `deliver` enforces the deadline of the whole call.
"""

import asyncio
import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, ClassVar

import httpx2
from h2.exceptions import H2Error

from config import VERSION
from providers.outcomes import PermanentError, ProviderAcceptance, TemporaryError, UnknownOutcome

RESPONSE_LIMIT = 64 * 1024
# Seconds. A response of one byte per second never times out by itself.
BODY_TIMEOUT = 3.0
# Of a client. One process makes at most 150 calls of a provider at a time: three providers whose calls all hang leave
# connections to the others, whose calls would fail and open their circuits.
MAX_CONNECTIONS = 500
CONNECTION_LIMITS = httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=20)
# Responses are read without decompression, up to the limit: decompressed they could be any size.
IDENTITY_ENCODING = {"accept-encoding": "identity"}
# Raised before a byte of the request could have been sent.
NOT_SENT_ERRORS = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
    httpx2.LocalProtocolError,
)
# httpx2 passes the errors of h2 on if they occur while a body is read.
CONNECTION_ERRORS = (httpx2.TransportError, H2Error)


@dataclass(frozen=True, kw_only=True, slots=True)
class VendorResponse:
    """Hold a response. `body` is cut at the limit (`is_truncated`). `json()` is {} if the body is not a JSON object."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_truncated: bool = False

    @property
    def is_2xx(self) -> bool:
        return 200 <= self.status < 300

    def is_success(self, status: int, field: str) -> bool:
        """Return whether this is the documented success: that status, with that field in its JSON.

        A body that was cut cannot show the field, and its status suffices. `data.id` is the field `id` of `data`.
        """
        return self.status == status and (self.is_truncated or bool(self._value(field)))

    def parse_acceptance(self, status: int, field: str) -> ProviderAcceptance | None:
        """Return the acceptance with the message id in that field, if this is the documented success."""
        if not self.is_success(status, field):
            return None
        return ProviderAcceptance(message_id=self._value(field), response={"status": self.status})

    def _value(self, field: str) -> Any:
        value: Any = self.json()
        for name in field.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def json(self) -> dict[str, Any]:
        try:
            value = httpx2.Response(self.status, content=self.body).json()
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


def basic_auth(username: str, password: str) -> dict[str, str]:
    """Return the header of HTTP basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


def has_basic_auth(headers: Mapping[str, str], username: str, password: str) -> bool:
    """Return whether a callback has this login, compared in constant time. An empty password is never right."""
    [expected] = basic_auth(username, password).values()
    return bool(password) and hmac.compare_digest(expected.encode(), headers.get("authorization", "").encode())


def outgoing_client(base_transport: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncClient:
    """Create the client: it sends a user agent, follows no redirects, keeps no cookies and ignores the proxies of the
    environment. All tenants share it, so a cookie would lead from one receiver to another.

    Connecting takes at most 4 s, so that it fails before the adapter's deadline and is known to have failed.
    """
    timeout = httpx2.Timeout(30, connect=4, pool=4)
    name = {"user-agent": f"Tocsin/{VERSION}"}
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return httpx2.AsyncClient(
        transport=base_transport,
        headers=name,
        timeout=timeout,
        limits=CONNECTION_LIMITS,
        cookies=no_cookies,
        follow_redirects=False,
        trust_env=False,
    )


class Transport:
    """Send requests with a client from `outgoing_client`."""

    not_sent_errors: ClassVar[tuple[type[Exception], ...]] = NOT_SENT_ERRORS

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def post(self, url: str, *, headers: Mapping[str, str] | None = None, **body: Any) -> VendorResponse:
        """Make one POST with `json=`, `data=` (a form), `data=` and `files=` (a multipart form) or `content=`. Return
        every status as a response.

        Raises TemporaryError or UnknownOutcome.
        """
        return await self._call("POST", url, RESPONSE_LIMIT, headers, **body)

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        limit: int = RESPONSE_LIMIT,
    ) -> VendorResponse:
        """Make one GET, by the rules of `post`, and read at most `limit` bytes of the response."""
        return await self._call("GET", url, limit, headers, params=params)

    async def _call(
        self, method: str, url: str, limit: int, headers: Mapping[str, str] | None, **request_args: Any
    ) -> VendorResponse:
        try:
            async with self._client.stream(
                method, url, headers={**IDENTITY_ENCODING, **(headers or {})}, **request_args
            ) as response:
                body, is_truncated = await _read_limited(response, limit)
                return VendorResponse(
                    status=response.status_code, headers=response.headers, body=body, is_truncated=is_truncated
                )
        except self.not_sent_errors as error:
            raise TemporaryError("connect_failed", {"error": type(error).__name__}) from error
        except (httpx2.TimeoutException, TimeoutError) as error:
            raise UnknownOutcome("timeout", {"error": type(error).__name__}) from error
        except CONNECTION_ERRORS as error:
            raise UnknownOutcome("connection_lost", {"error": type(error).__name__}) from error


async def _read_limited(response: httpx2.Response, limit: int) -> tuple[bytes, bool]:
    """Return the body and whether it was cut. A 2xx whose body breaks off or drips is still a response."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > limit:
                    return bytes(body[:limit]), True
    except (*CONNECTION_ERRORS, TimeoutError):
        if not 200 <= response.status_code < 300:
            raise
        return bytes(body[:limit]), True
    return bytes(body), False


def raise_common_errors(http_response: VendorResponse) -> None:
    """Raise the errors of statuses that mean the same at every vendor. Adapters handle the others (400, 404, 422 …).

    A 2xx that arrives here is not the one that the vendor documents, for example from a proxy: the outcome is unknown.
    """
    evidence = {"status": http_response.status}
    if http_response.is_2xx:
        raise UnknownOutcome("undocumented_success", evidence)
    if http_response.status == 429:
        raise TemporaryError("throttled", evidence, retry_after=parse_retry_after(http_response.headers))
    if http_response.status in (401, 403):
        raise PermanentError("credentials_refused", evidence)
    if http_response.status == 402:
        raise PermanentError("quota_exceeded", evidence)
    if 300 <= http_response.status < 400:
        raise PermanentError("redirected", evidence)
    if http_response.status >= 500:
        raise UnknownOutcome("server_error", evidence, retry_after=parse_retry_after(http_response.headers))


def parse_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds, from either form of RFC 9110; None if absent or invalid."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:9]), 86_400))
    parsed_time = parse_http_date(value)
    if parsed_time is None:
        return None
    return min(max(0.0, (parsed_time - (now or datetime.now(UTC))).total_seconds()), 86_400.0)


def parse_http_date(text: str) -> datetime | None:
    """Parse a date of a header or a vendor (RFC 5322); None if invalid. Without a zone it is UTC."""
    try:
        parsed_time = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return parsed_time if parsed_time.tzinfo else parsed_time.replace(tzinfo=UTC)
