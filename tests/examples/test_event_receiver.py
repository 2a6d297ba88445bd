"""Test that the example receiver prints verified events once and refuses the others."""

import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from providers.webhook import sign_headers
from storage.event_endpoints import generate_secret
from tests.code.tree import ROOT

BODY = '{"type": "notification.sent", "timestamp": "2026-03-01T12:00:00.000Z", "data": {"recipient_id": "mia"}}'


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


@asynccontextmanager
async def running(secret: str) -> AsyncIterator[tuple[Process, str]]:
    process = await create_subprocess_exec(
        sys.executable, "examples/event_receiver.py", "0", secret, cwd=ROOT, stdout=PIPE
    )
    try:
        yield process, (await line_of(process)).removeprefix("listening on ")
    finally:
        process.kill()
        await process.communicate()


async def test_the_receiver_prints_verified_events_once_and_refuses_others() -> None:
    secret = generate_secret()
    async with running(secret) as (process, url), httpx2.AsyncClient(trust_env=False, timeout=30) as http:

        async def post(ident: str, key: str) -> int:
            headers = sign_headers(ident, BODY, [key])
            return (await http.post(url, content=BODY.encode(), headers=headers)).status_code

        assert await post("forged", generate_secret()) == 401
        assert [await post("first", secret), await post("first", secret), await post("second", secret)] == [204] * 3
        printed = 'notification.sent {"recipient_id": "mia"}'
        assert [await line_of(process), await line_of(process)] == [printed, printed]
