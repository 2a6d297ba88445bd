"""What `make run` shows: a demo type, one notification through the real API, and where to look next."""

import asyncio
import time
from typing import Any

import httpx2

from embedded.errors import StackError
from embedded.runfile import RunInfo

WAIT_SECONDS = 30.0

TEMPLATE = {
    "name": "welcome",
    "channel": "email",
    "language": "en",
    "subject_template": "Welcome, {{ name }}",
    "body_template": "<p>Hello {{ name }},</p><p>your notifications are in good hands.</p>",
    "variables_schema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    "publish": True,
}
TYPE = {
    "category": "onboarding",
    "description": "A first hello.",
    "route": [{"channels": ["email"]}],
    "templates": {"email": "welcome"},
}
SEND = {
    "notification_type": "welcome",
    "recipient": {"recipient_id": "ada", "email": "ada@example.com", "locale": "en"},
    "payload": {"name": "Ada"},
}
CURL = """curl -X POST {url}/api/v1/notifications/send \\
  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
  -d '{{"notification_type": "welcome", "payload": {{"name": "Ada"}},
       "recipient": {{"recipient_id": "ada", "email": "ada@example.com"}}}}'"""


async def greet(info: RunInfo) -> None:
    headers = {"Authorization": f"Bearer {info.api_key}"}
    async with httpx2.AsyncClient(base_url=f"{info.api_url}/api/v1", headers=headers, trust_env=False) as http:
        await _ensure_welcome(http)
        sent = _ok(await http.post("/notifications/send", json=SEND))
        shown = await _delivered(http, sent["id"])
    print(welcome(info, shown), flush=True)


async def _ensure_welcome(http: httpx2.AsyncClient) -> None:
    """Once: a later `make run` finds what people made of it."""
    if (await http.get("/notification-types/welcome")).status_code == 404:
        _ok(await http.post("/templates", json=TEMPLATE))
        _ok(await http.put("/notification-types/welcome", json=TYPE))


async def _delivered(http: httpx2.AsyncClient, id: str) -> dict[str, Any]:
    """As soon as it is delivered, or as it stands after 30 s."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        shown = _ok(await http.get(f"/notifications/{id}"))
        if shown["status"] not in ("PENDING", "SENT") or time.monotonic() > deadline:
            return shown
        await asyncio.sleep(0.1)


def _ok(response: httpx2.Response) -> dict[str, Any]:
    if response.status_code >= 400:
        raise StackError(f"the demo failed: {response.request.method} {response.url} answered {response.text}")
    answer: dict[str, Any] = response.json()
    return answer


def welcome(info: RunInfo, shown: dict[str, Any]) -> str:
    lines = [f"  {entry['at']}  {entry['kind']:<10} {entry['channel'] or ''}" for entry in shown["timeline"]]
    return "\n".join(
        [
            "",
            "Tocsin is running. Ctrl-C stops it; the data stays.",
            "",
            f"  API docs     {info.api_url}/docs",
            f"  Outbox       {info.api_url}/outbox      what the sandbox delivered",
            f"  Temporal UI  {info.temporal_ui_url}",
            f"  Dev key      {info.api_key}",
            "",
            f"A notification was just sent and is {shown['status']}:",
            *lines,
            f"  {shown['temporal_url']}",
            "",
            "Send one yourself:",
            "",
            CURL.format(url=info.api_url, key=info.api_key),
            "",
        ]
    )
