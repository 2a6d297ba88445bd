"""The one way out to vendors over HTTP: one try, one deadline, no redirects, a capped answer, and what is proved.

Adapters call it; `deliver` holds the deadline around the whole call.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from config import VERSION
from providers.outcomes import Permanent, Temporary, Unknown

ANSWER_LIMIT = 64 * 1024
# Seconds. An answer of one byte a second never times out by itself.
BODY_WITHIN = 3.0
# Answers are read raw, up to the limit: unpacked they could be any size.
PLAIN = {"accept-encoding": "identity"}
# Raised before a byte of the request could have left.
NEVER_LEFT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
    httpx2.LocalProtocolError,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """`body` is cut at the limit; `json()` is {} for what is not a JSON object. `is_cut`: more was to come."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_cut: bool = False

    @property
    def is_2xx(self) -> bool:
        return 200 <= self.status < 300

    def has(self, status: int, field: str) -> bool:
        """Whether this is the documented success: that status, with that field in its JSON. A body that was cut off
        cannot show the field, and the status has said enough."""
        return self.status == status and (self.is_cut or bool(self.json().get(field)))

    def json(self) -> dict[str, Any]:
        try:
            value = httpx2.Response(self.status, content=self.body).json()
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


def outgoing_client(way: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncClient:
    """Says who we are; no redirects, no proxies from the environment. A connection takes 4 s at most, so that it ends
    before the adapter's deadline and is known to have failed."""
    timeout = httpx2.Timeout(30, connect=4, pool=4)
    name = {"user-agent": f"Tocsin/{VERSION}"}
    return httpx2.AsyncClient(transport=way, headers=name, timeout=timeout, follow_redirects=False, trust_env=False)


class Transport:
    """`client` is an `outgoing_client`."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def post(self, url: str, *, headers: Mapping[str, str] | None = None, **body: Any) -> Answer:
        """One POST with `json=`, `data=` (a form) or `content=`. Raises Temporary or Unknown; statuses are answers."""
        return await self._call("POST", url, ANSWER_LIMIT, headers, **body)

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        limit: int = ANSWER_LIMIT,
    ) -> Answer:
        """One GET, by the rules of `post`; `limit` is how many bytes of the answer are read."""
        return await self._call("GET", url, limit, headers, params=params)

    async def _call(self, method: str, url: str, limit: int, headers: Mapping[str, str] | None, **more: Any) -> Answer:
        try:
            async with self._client.stream(method, url, headers={**PLAIN, **(headers or {})}, **more) as response:
                body, is_cut = await _capped(response, limit)
                return Answer(status=response.status_code, headers=response.headers, body=body, is_cut=is_cut)
        except NEVER_LEFT as error:
            raise Temporary("connect_failed", {"error": type(error).__name__}) from error
        except (httpx2.TimeoutException, TimeoutError) as error:
            raise Unknown("timeout", {"error": type(error).__name__}) from error
        except httpx2.TransportError as error:
            raise Unknown("connection_lost", {"error": type(error).__name__}) from error


async def _capped(response: httpx2.Response, limit: int) -> tuple[bytes, bool]:
    """The body, and whether it was cut: a 2xx whose body breaks off or drips is an answer all the same."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > limit:
                    return bytes(body[:limit]), True
    except (httpx2.TransportError, TimeoutError):
        if not 200 <= response.status_code < 300:
            raise
        return bytes(body[:limit]), True
    return bytes(body), False


def refuse_common(answer: Answer) -> None:
    """Raises for the statuses that mean the same at every vendor; adapters look at the others (400, 404, 422 …). A 2xx
    is here because it is not the one that the vendor documents, as from a proxy: the outcome is unknown."""
    evidence = {"status": answer.status}
    if answer.is_2xx:
        raise Unknown("undocumented_success", evidence)
    if answer.status == 429:
        raise Temporary("throttled", evidence, retry_after=retry_after(answer.headers))
    if answer.status in (401, 402, 403):
        raise Permanent("credentials_refused", evidence)
    if 300 <= answer.status < 400:
        raise Permanent("redirected", evidence)
    if answer.status >= 500:
        raise Unknown("server_error", evidence, retry_after=retry_after(answer.headers))


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds, from either form that RFC 9110 allows; None if absent or nonsense."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:9]), 86_400))
    moment = moment_of(value)
    if moment is None:
        return None
    return min(max(0.0, (moment - (now or datetime.now(UTC))).total_seconds()), 86_400.0)


def moment_of(text: str) -> datetime | None:
    """A date as headers and some vendors write it (RFC 5322); None if it is nonsense. Without a zone it is UTC."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
