"""The route class of every router: authenticate, check the scope and the query's names, then read the body.

FastAPI reads a declared body before its dependencies run, so this cannot be a dependency.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from email.message import Message
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api import strict_json
from api.callers import PUBLIC, Caller, authenticate
from api.problems import Problem, invalid, not_found
from api.query_names import declared_names, query_faults
from api.strict_json import UnreadableJson, Value

Scope = str
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

SCOPES = ("send", "read", "manage", "operate")
BODY_LIMIT = 256 * 1024
# Larger bodies are parsed in a thread, so that other requests are served meanwhile.
IN_THREAD = 64 * 1024


def scope(name: Scope, *, max_body: int = BODY_LIMIT) -> Callable[[Endpoint], Endpoint]:
    """Below the router's decorator: which scope the key needs, and how many bytes a body may have."""

    def mark(endpoint: Endpoint) -> Endpoint:
        if name not in (*SCOPES, PUBLIC):
            raise ValueError(f"unknown scope {name}")
        vars(endpoint).update(scope=name, max_body=max_body)
        return endpoint

    return mark


def public(endpoint: Endpoint) -> Endpoint:
    """No key: the route checks by itself who calls."""
    return scope(PUBLIC)(endpoint)


def accepts_any_query(endpoint: Endpoint) -> Endpoint:
    """Skip the check of query names, for a URL that others call and to which they add parameters of their own."""
    vars(endpoint)["any_query"] = True
    return endpoint


class FrontDoor(APIRoute):
    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not hasattr(endpoint, "scope"):
            raise TypeError(f"{endpoint.__name__} ({path}) declares no scope")
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        needed, limit = vars(self.endpoint)["scope"], vars(self.endpoint)["max_body"]
        reads_body = self.body_field is not None
        declared = None if hasattr(self.endpoint, "any_query") else declared_names(self.dependant)

        async def enter(request: Request) -> Response:
            if needed != PUBLIC:
                request.state.caller = allowed(await authenticate(request), needed)
            refuse_nul(request)
            if declared is not None:
                refuse_query(declared, request)
            if reads_body:
                await hand_over_body(request, limit)
            return await handle(request)

        return enter


def allowed(caller: Caller, needed: Scope) -> Caller:
    if needed not in caller.scopes:
        raise Problem(403, f"The API key lacks the scope '{needed}'.")
    return caller


def refuse_nul(request: Request) -> None:
    """Postgres text cannot hold NUL; in a path it names nothing."""
    if any("\x00" in str(value) for value in request.path_params.values()):
        raise not_found()
    for name, value in request.query_params.multi_items():
        if "\x00" in name or "\x00" in value:
            raise invalid({"parameter": name.replace("\x00", ""), "detail": "must not contain NUL"})


def refuse_query(declared: Mapping[str, bool], request: Request) -> None:
    """Raise 422 for an unknown name, because a misspelt filter would return everything."""
    faults = query_faults(declared, [name for name, _ in request.query_params.multi_items()])
    if faults:
        raise invalid(*faults, detail="The request is not valid; see errors.")


async def hand_over_body(request: Request, limit: int) -> None:
    """Reads and parses; FastAPI finds both done."""
    raw = await read_body(request, limit)
    request._body = raw
    if not raw:
        return
    if not _is_json(request.headers.get("content-type", "")):
        raise invalid({"parameter": "Content-Type", "detail": "must be application/json"})
    try:
        value = await asyncio.to_thread(strict_json.read, raw) if len(raw) > IN_THREAD else strict_json.read(raw)
    except UnreadableJson as error:
        raise Problem(400, error.reason) from None
    _cache(request, value)


def _cache(request: Request, value: Value) -> None:
    """Where Starlette's `Request.json()` looks first."""
    request._json = value


async def read_body(request: Request, limit: int) -> bytes:
    """The raw body, or 413 as soon as it is known to be longer; also for routes that declare no body."""
    too_large = Problem(413, f"The body may have at most {limit} bytes.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)


def _is_json(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type
    charset = str(message.get_param("charset", "utf-8")).lower()
    return content_type != "" and message.get_content_type() == "application/json" and charset in ("utf-8", "utf8")
