"""Send to a running stack while its parts die, and record the responses."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from embedded.runfile import RunInfo
from tests.polling import eventually

TYPE = "order"
CONCURRENT_SENDS = 8


@dataclass
class LoadResponses:
    """Hold the ids that got 202, by idempotency key, and the keys of the other calls.

    `unavailable` are the other responses, `cut` the errors of calls without a response.
    """

    ids: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    unavailable: list[httpx2.Response] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)


class StackClient:
    """Call one stack. `http` is a client of the API; `url` is the server's root."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self.http = http
        self.url = url

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        response = await self.http.request(method, path, json=body)
        assert response.status_code < 300, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    async def type(self, key: str = TYPE, **more: Any) -> None:
        template = {"name": key, "channel": "email", "language": "en", "body_template": "Hello {{ name }}"}
        await self.ok(
            "POST", "/templates", {**template, "subject_template": "Hi", "variables_schema": {}, "publish": True}
        )
        given = {"route": [{"channels": ["email"]}], "templates": {"email": key}, **more}
        await self.ok("PUT", f"/notification-types/{key}", given)

    async def batch(self, size: int, prefix: str, **more: Any) -> list[str]:
        """Accept this many notifications, each to another recipient, in one call. Return their ids."""
        items = [
            {**_message(f"{prefix}-{number}"), "idempotency_key": f"{prefix}-{number}", **more}
            for number in range(size)
        ]
        response = await self.ok("POST", "/notifications/send-batch", {"items": items})
        assert {item["status"] for item in response["items"]} == {202}
        return [item["id"] for item in response["items"]]

    async def send(self, key: str, **more: Any) -> httpx2.Response:
        return await self.http.post(
            "/notifications/send", json={**_message(key), **more}, headers={"Idempotency-Key": key}
        )

    async def send_accepted(self, key: str, **more: Any) -> str:
        response = await self.send(key, **more)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    async def load(self, size: int, prefix: str, on_accepted: Callable[[int], None]) -> LoadResponses:
        """Send this many, eight at a time. A sender without a 202 records that and resumes when the API accepts calls
        again.
        """
        responses = LoadResponses()
        waiting = iter([f"{prefix}-{number}" for number in range(size)])

        async def sender() -> None:
            for key in waiting:
                if await self._attempt(key, responses):
                    on_accepted(len(responses.ids))
                else:
                    responses.failed.append(key)
                    await self.wait_until_ready()

        await asyncio.gather(*(sender() for _ in range(CONCURRENT_SENDS)))
        return responses

    async def _attempt(self, key: str, responses: LoadResponses) -> bool:
        try:
            response = await self.send(key)
        except httpx2.TransportError as error:
            responses.cut.append(repr(error))
            return False
        if response.status_code == 202:
            responses.ids[key] = response.json()["id"]
            return True
        responses.unavailable.append(response)
        return False

    async def wait_until_ready(self, within: float = 120) -> None:
        async def look() -> int:
            try:
                return (await self.http.get(f"{self.url}/readyz")).status_code
            except httpx2.TransportError:
                return 0

        await eventually(look, lambda status: status == 200, within)

    async def timed(self, keys: list[str], **more: Any) -> tuple[list[str], list[float]]:
        """Return the ids and seconds of consecutive sends."""
        ids, seconds = [], []
        for key in keys:
            started = time.perf_counter()
            ids.append(await self.send_accepted(key, **more))
            seconds.append(time.perf_counter() - started)
        return ids, seconds


def _message(recipient_id: str) -> dict[str, Any]:
    recipient = {"recipient_id": recipient_id, "email": f"{recipient_id}@example.com"}
    return {"notification_type": TYPE, "recipient": recipient, "payload": {"name": "Ada"}}


@asynccontextmanager
async def open_stack_client(info: RunInfo) -> AsyncIterator[StackClient]:
    headers = {"Authorization": f"Bearer {info.api_key}"}
    base = f"{info.api_url}/api/v1"
    # The server closes a connection that was idle for 5 s; a call that uses it at that moment would fail.
    limits = httpx2.Limits(keepalive_expiry=2)
    async with httpx2.AsyncClient(base_url=base, headers=headers, trust_env=False, timeout=60, limits=limits) as http:
        yield StackClient(http, info.api_url)
