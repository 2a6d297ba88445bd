"""Upload many large or slow attachments at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest
from httpx2 import Response
from sqlalchemy import text

from api.limits.upload_slots import MAX_UPLOADS, TENANT_DIVISOR
from domain.attachments import MAX_SIZE
from models.attachments import CHUNK_SIZE
from tests.api_tenants import ApiTenant
from tests.attacks.attack_monitor import AttackMonitor
from tests.polling import eventually

pytestmark = pytest.mark.postgres

UPLOADS = 16
# Megabytes for each upload that has a slot: a chunk, its copy in the driver, and buffers.
MEMORY_PER_UPLOAD = 8
PART = 100_000
COUNT_UPLOADS = text("""
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'
   AND query LIKE 'INSERT INTO attachment_chunk%'
""")


async def upload(tenant: ApiTenant, content: AsyncIterator[bytes], name: str) -> Response:
    headers = {"Content-Type": "application/octet-stream"}
    return await tenant.http.post("/attachments", params={"name": name}, content=content, headers=headers)


async def large(index: int) -> AsyncIterator[bytes]:
    yield f"{index:010}".encode()
    for _ in range(MAX_SIZE // PART - 1):
        yield b"a" * PART


async def stalled(arrived: asyncio.Event) -> AsyncIterator[bytes]:
    yield b"a" * (CHUNK_SIZE + 1)
    await arrived.wait()


async def open_uploads(attack_monitor: AttackMonitor) -> int:
    """Return the number of transactions that wait for the next chunk."""
    async with attack_monitor.target.database.statement() as session:
        return int((await session.execute(COUNT_UPLOADS)).scalar_one())


async def peak_memory(attack_monitor: AttackMonitor, done: asyncio.Event) -> float:
    peak = 0.0
    while not done.is_set():
        peak = max(peak, attack_monitor.target.memory)
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), 0.02)
    return peak


async def test_large_uploads_hold_a_limited_part_of_their_bytes_in_memory(attack_monitor: AttackMonitor) -> None:
    done, before = asyncio.Event(), attack_monitor.target.memory
    measuring = asyncio.create_task(peak_memory(attack_monitor, done))
    async with AsyncExitStack() as stack:
        tenants = [await stack.enter_async_context(attack_monitor.target.tenant()) for _ in range(4)]
        uploads = [upload(tenants[index % 4], large(index), f"{index}.bin") for index in range(UPLOADS)]
        responses = await attack_monitor.attack(*uploads)
    done.set()
    assert {response.status_code for response in responses} <= {201, 503}
    assert sum(response.status_code == 201 for response in responses) >= MAX_UPLOADS
    assert await measuring < before + MAX_UPLOADS * MEMORY_PER_UPLOAD


async def test_stalled_uploads_of_a_tenant_keep_no_other_one_waiting(
    attack_monitor: AttackMonitor, attacker: ApiTenant
) -> None:
    arrived = asyncio.Event()
    slow = [asyncio.create_task(upload(attacker, stalled(arrived), f"{index}.bin")) for index in range(UPLOADS)]
    slots = MAX_UPLOADS // TENANT_DIVISOR
    await eventually(lambda: open_uploads(attack_monitor), lambda found: found == slots)
    async with attack_monitor.target.tenant() as other:
        assert (await upload(other, large(0), "a.bin")).status_code == 201
    assert await open_uploads(attack_monitor) == slots
    arrived.set()
    statuses = [response.status_code for response in await asyncio.gather(*slow)]
    assert statuses.count(201) >= slots
    assert set(statuses) <= {201, 503}
