"""Give each request an id and its response the security headers, and convert an unhandled exception to a 500 without
details. The outermost layer of the API."""

import re
import traceback
from collections.abc import Iterable
from types import TracebackType
from uuid import uuid4

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.limits.rate_limits import header_fields
from api.problems import Problem

REQUEST_ID_HEADER = "X-Request-Id"
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

# Responses contain personal data, so caches store nothing unless a route allows it. The policy lets a page load
# nothing; pages that need more (`/docs`, `/outbox`) set their own policy.
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

log = structlog.get_logger(__name__)


class ExceptionCapture:
    """Catch an unhandled exception, so that no server prints it with the values that it holds."""

    error: Exception | None = None

    def __enter__(self) -> "ExceptionCapture":
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        if isinstance(error, Exception):
            self.error = error
            return True
        return False


class RequestIdMiddleware:
    """ASGI middleware. `X-Request-Id` is echoed if it is well-formed, and generated otherwise. `public_url` is where
    browsers reach the API."""

    def __init__(self, app: ASGIApp, public_url: str = "") -> None:
        self.app = app
        self.security = security_headers(public_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id_of(scope)
        state, started = scope.setdefault("state", {}), False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                existing = message["headers"]
                added = [*missing_headers(self.security, existing), *header_fields(state)]
                message["headers"] = [*existing, *added, (REQUEST_ID_HEADER.lower().encode(), request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id), ExceptionCapture() as capture:
            await self.app(scope, receive, send_with_headers)
        if capture.error is not None and not isinstance(capture.error, ClientDisconnect):
            error = type(capture.error).__name__
            log.error("unexpected error", request_id=request_id, error=error, at=own_frames(capture.error))
            if started:
                raise ConnectionAbortedError("the response was interrupted") from None
            await Problem(500).response(scope, receive, send_with_headers)


def _request_id_of(scope: Scope) -> str:
    client_request_id = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return client_request_id if VALID_REQUEST_ID.fullmatch(client_request_id) else uuid4().hex


def own_frames(error: BaseException) -> list[str]:
    """Return our frames, innermost last, as file, line and function. Messages and values may be personal data."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{f.filename}:{f.lineno} {f.name}" for f in frames if "site-packages" not in f.filename]


def security_headers(public_url: str) -> tuple[Header, ...]:
    return (*DEFAULT_HEADERS, HSTS) if public_url.startswith("https://") else DEFAULT_HEADERS


def missing_headers(wanted: Iterable[Header], given: Iterable[Header]) -> list[Header]:
    """Return the wanted headers whose names (in lower case) are not given."""
    names = {name for name, _ in given}
    return [header for header in wanted if header[0] not in names]
