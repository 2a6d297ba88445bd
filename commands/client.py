"""Call the HTTP API from commands: its address, JSON requests and responses, and API errors as errors for the
terminal."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from commands.errors import CommandError
from commands.local_stack import find_running_stack, not_running_error
from config import ClientSettings
from domain.json_types import Json

PROBLEM_CONTENT_TYPE = "application/problem+json"
POLL_INTERVAL = 0.1
# Seconds to wait for receipts. The sandbox reports deliveries after 0.2 s. Later receipts are visible with `show`.
RECEIPT_WAIT = 5.0


@dataclass(frozen=True)
class ApiIssue:
    """One issue of the request. `pointer` is a JSON pointer into the body, "" for the whole body."""

    pointer: str
    detail: str


class ApiError(CommandError):
    """An error response of the API. `sent` is the request body, which error responses do not repeat."""

    def __init__(self, what: str, status: int, detail: str, issues: list[ApiIssue], sent: Any = None) -> None:
        self.status, self.issues = status, issues
        lines = [f"{_issue_subject(issue, sent)}: {issue.detail}" for issue in issues]
        super().__init__(*(lines or [f"{what}: {detail}"]))


def _issue_subject(issue: ApiIssue, sent: Any) -> str:
    """Return the member of the issue: `payload/name`, or `notification_type 'newsleter'` with its value."""
    name = issue.pointer.lstrip("/")
    value = sent.get(name) if isinstance(sent, dict) else None
    return f"{name} '{value}'" if isinstance(value, str) else name or "request"


class ApiClient:
    """Call `/api/v1` with an API key. Raise ApiError for an error response, or CommandError if the server is
    unreachable."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def get(self, path: str, **params: Any) -> Json:
        return await self.call("GET", path, params={name: value for name, value in params.items() if value is not None})

    async def get_or_none(self, path: str) -> Json | None:
        """Return None for a 404."""
        try:
            return await self.get(path)
        except ApiError as api_error:
            if api_error.status != httpx2.codes.NOT_FOUND:
                raise
            return None

    async def list_all(self, path: str, **params: Any) -> list[Json]:
        """Return all items of a list."""
        return await self.list_first(path, sys.maxsize, **params)

    async def list_first(self, path: str, count: int, /, **params: Any) -> list[Json]:
        """Return at most `count` items of a list, page by page."""
        items: list[Json] = []
        cursor = None
        while True:
            page = await self.get(path, limit=min(100, count - len(items)), cursor=cursor, **params)
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None or len(items) >= count:
                return items

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> Json:
        try:
            response = await self._http.request(method, path, **({} if body is None else {"json": body}), **more)
        except httpx2.TransportError as error:
            raise CommandError(f"{self._http.base_url} is unreachable ({type(error).__name__})") from None
        if response.status_code >= httpx2.codes.BAD_REQUEST:
            raise _error_of(f"{method} {path}", response, body)
        if not response.is_success:
            raise CommandError(f"{self._http.base_url} responds with {response.status_code}: is it the URL of the API?")
        return _json_object(response)

    async def wait_until_final(self, id: str, within: float) -> Json:
        """Return the notification when it has ended and receipts had time to arrive, or its state after `within`
        seconds."""
        deadline = time.monotonic() + within
        final_since: float | None = None
        while True:
            notification = await self.get(f"/notifications/{id}")
            now = time.monotonic()
            if notification["finished_at"] is not None:
                final_since = final_since or now
            has_waited_for_receipts = final_since is not None and now > final_since + RECEIPT_WAIT
            if notification["status"] not in ("PENDING", "SENT") or has_waited_for_receipts or now > deadline:
                return notification
            await asyncio.sleep(POLL_INTERVAL)


def resolve_address(settings: ClientSettings) -> tuple[str, str]:
    """Return URL and key: from the settings, or of the local stack. The key of the local stack is not used for another
    URL."""
    url, key = settings.api_url.rstrip("/"), settings.api_key.get_secret_value()
    run = None if url else find_running_stack(settings)
    if not url and run is None:
        raise not_running_error(settings)
    if run is not None:
        url, key = run.api_url, key or run.api_key
    if not key:
        raise CommandError("set TOCSIN_API_KEY to a key of that API; 'tocsin keys create' creates one")
    return url, key


@asynccontextmanager
async def open_api(url: str, key: str) -> AsyncIterator[ApiClient]:
    headers = {"Authorization": f"Bearer {key}"}
    # Loading the certificates of all authorities takes longer than most commands. Plain http does not need them.
    tls = not url.lower().startswith("http://")
    async with httpx2.AsyncClient(
        base_url=f"{url}/api/v1", headers=headers, trust_env=False, timeout=30, verify=tls
    ) as http:
        yield ApiClient(http)


def _json_object(response: httpx2.Response) -> Json:
    """Return the JSON object of a response. Raise CommandError for any other content, such as the page of a proxy."""
    try:
        answer = response.json() if response.content else {}
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise CommandError(f"{response.url} does not respond like the API; set TOCSIN_API_URL to the URL of the API")
    return answer


def _error_of(what: str, response: httpx2.Response, sent: Any) -> ApiError:
    problem = _problem_of(response)
    issues = [ApiIssue(e.get("pointer", e.get("parameter", "")), e["detail"]) for e in problem.get("errors", [])]
    detail = problem.get("detail") or f"status {response.status_code}"
    return ApiError(what, response.status_code, detail, issues, sent)


def _problem_of(response: httpx2.Response) -> Json:
    """Return the problem of an error response, or {} for an error page that is not of the API, such as that of a
    proxy."""
    if not response.headers.get("content-type", "").startswith(PROBLEM_CONTENT_TYPE):
        return {}
    return _json_object(response)


ID_LENGTH = 36
# The maximum of `tail`.
SEARCHED_COUNT = 100


async def resolve_id(api: ApiClient, id: str) -> str:
    """Return a complete id unchanged. Otherwise find the one recent notification whose id ends with it."""
    if len(id) >= ID_LENGTH:
        return id
    newest = (await api.get("/notifications", limit=SEARCHED_COUNT))["items"]
    found = [one["id"] for one in newest if one["id"].endswith(id.lower())]
    if not found:
        raise CommandError(
            f"none of the newest {SEARCHED_COUNT} notifications has an id that ends in {id}; give the complete id"
        )
    if len(found) > 1:
        raise CommandError(f"several notifications end in {id}: {', '.join(found)}")
    return str(found[0])
