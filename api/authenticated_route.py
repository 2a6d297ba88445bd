"""Authenticate requests before their body is read. `AuthenticatedRoute` is the route class of every router.

It checks the key, its scope and the query parameter names, and then reads the body. FastAPI reads a declared body
before it runs dependencies, so a dependency cannot do this.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api import strict_json
from api.authentication import PUBLIC_SCOPE, authenticate
from api.json_values import count_values
from api.limits.rate_limits import VALUES_PER_POINT, charge
from api.problems import Problem, invalid, not_found
from api.query_names import declared_names, find_query_issues
from api.strict_json import VALUE_LIMIT, TooManyValues, UnreadableJson, Value
from domain.audit import Caller
from storage.api_keys import SCOPES

Scope = str
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

BODY_LIMIT = 256 * 1024
# Larger bodies are parsed in a thread, so that the event loop serves other requests.
THREAD_THRESHOLD = 16 * 1024
# One thread for each kind of body: parsing holds the interpreter lock, and the event loop waits for every thread that
# parses. Small bodies do not wait for batches.
BODY_THREAD = ThreadPoolExecutor(1, "bodies")
BATCH_THREAD = ThreadPoolExecutor(1, "batches")


@dataclass(frozen=True, kw_only=True, slots=True)
class BodyLimits:
    """The maximum of a request body: `size` in bytes and `values` of JSON."""

    size: int
    values: int


def scope(name: Scope, *, max_body: int = BODY_LIMIT, max_values: int = VALUE_LIMIT) -> Callable[[Endpoint], Endpoint]:
    """Declare the scope that the key needs, and the maximum bytes and JSON values of the body. Apply it below the
    router's decorator."""

    def mark(endpoint: Endpoint) -> Endpoint:
        if name not in (*SCOPES, PUBLIC_SCOPE):
            raise ValueError(f"unknown scope {name}")
        vars(endpoint).update(scope=name, limits=BodyLimits(size=max_body, values=max_values))
        return endpoint

    return mark


def public(endpoint: Endpoint) -> Endpoint:
    """Declare that the route needs no key, because it authenticates the caller itself."""
    return scope(PUBLIC_SCOPE)(endpoint)


def accepts_any_query(endpoint: Endpoint) -> Endpoint:
    """Skip the check of query parameter names, for callback URLs to which callers add their own parameters."""
    vars(endpoint)["any_query"] = True
    return endpoint


class AuthenticatedRoute(APIRoute):
    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not hasattr(endpoint, "scope"):
            raise TypeError(f"{endpoint.__name__} ({path}) declares no scope")
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        needed, limits = vars(self.endpoint)["scope"], vars(self.endpoint)["limits"]
        reads_body = self.body_field is not None
        declared = None if hasattr(self.endpoint, "any_query") else declared_names(self.dependant)

        async def handle_authenticated(request: Request) -> Response:
            if needed != PUBLIC_SCOPE:
                request.state.caller = check_scope(await authenticate(request), needed)
                await charge(request, 1)
            if request.path_params or request.scope["query_string"]:
                reject_nul(request)
                if declared is not None:
                    reject_unknown_query(declared, request)
            if reads_body:
                await parse_body(request, limits, needs_key=needed != PUBLIC_SCOPE)
            return await handle(request)

        return handle_authenticated


def check_scope(caller: Caller, needed: Scope) -> Caller:
    if needed not in caller.scopes:
        raise Problem(403, f"The API key lacks the scope '{needed}'.")
    return caller


def reject_nul(request: Request) -> None:
    """Raise 404 for NUL in a path and 422 for NUL in a query, because Postgres text cannot hold it."""
    if any("\x00" in str(value) for value in request.path_params.values()):
        raise not_found()
    for name, value in request.query_params.multi_items():
        if "\x00" in name or "\x00" in value:
            raise invalid({"parameter": name.replace("\x00", ""), "detail": "must not contain NUL"})


def reject_unknown_query(declared: Mapping[str, bool], request: Request) -> None:
    """Raise 422 for an unknown parameter name, because a misspelled filter would return everything."""
    issues = find_query_issues(declared, [name for name, _ in request.query_params.multi_items()])
    if issues:
        raise invalid(*issues, detail="The request is not valid; see errors.")


async def parse_body(request: Request, limits: BodyLimits, *, needs_key: bool) -> None:
    """Read and parse the body, and store both where FastAPI looks for them."""
    raw = await read_body(request, limits.size)
    request._body = raw
    if not raw:
        return
    if not _is_json(request.headers.get("content-type", "")):
        raise invalid({"parameter": "Content-Type", "detail": "must be application/json"})
    try:
        value = await _parse(raw, limits.values)
    except TooManyValues:
        raise Problem(413, f"The body may have at most {limits.values} JSON values.") from None
    except UnreadableJson as error:
        raise Problem(400, error.reason) from None
    if len(raw) > VALUES_PER_POINT and needs_key:
        await charge(request, count_values(raw, VALUES_PER_POINT) // VALUES_PER_POINT)
    _cache_json(request, value)


async def _parse(raw: bytes, max_values: int) -> Value:
    if len(raw) <= THREAD_THRESHOLD:
        return strict_json.parse(raw, max_values)
    thread = BATCH_THREAD if len(raw) > BODY_LIMIT else BODY_THREAD
    return await asyncio.get_running_loop().run_in_executor(thread, strict_json.parse, raw, max_values)


def _cache_json(request: Request, value: Value) -> None:
    """Store the value where `Request.json()` of Starlette looks first."""
    request._json = value


async def read_body(request: Request, limit: int, on_bytes: Callable[[int], None] = lambda _: None) -> bytes:
    """Return the raw body, or raise 413 as soon as it exceeds the limit. Also used by routes that declare no body.
    `on_bytes` is called with the size of each chunk."""
    too_large = Problem(413, f"The body may have at most {limit} bytes.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        on_bytes(len(chunk))
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)


@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type
    charset = str(message.get_param("charset", "utf-8")).lower()
    return content_type != "" and message.get_content_type() == "application/json" and charset in ("utf-8", "utf8")
