"""Hold the open clients of one run: API, Temporal and database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
from temporalio.client import Client

from benchmarks.messages import PREPARATION
from benchmarks.servers import BenchmarkServers


@dataclass(frozen=True, kw_only=True)
class Clients:
    http: httpx2.AsyncClient
    temporal: Client
    database: asyncpg.Connection

    async def call(self, method: str, path: str, body: Any) -> Any:
        """Return the JSON of a 2xx response. Raises for any other."""
        response = await self.http.request(method, path, json=body)
        response.raise_for_status()
        return response.json() if response.content else None

    async def prepare(self) -> None:
        """Create the template, the type and the recipient that every message uses."""
        for method, path, body in PREPARATION:
            await self.call(method, path, body)


@asynccontextmanager
async def open_clients(servers: BenchmarkServers) -> AsyncIterator[Clients]:
    http = httpx2.AsyncClient(
        base_url=f"{servers.places.api_url}/api/v1",
        headers={"Authorization": f"Bearer {servers.api_key}"},
        timeout=60,
        trust_env=False,
    )
    async with http:
        database = await asyncpg.connect(servers.dsn)
        try:
            temporal = await Client.connect(servers.places.temporal_address)
            yield Clients(http=http, temporal=temporal, database=database)
        finally:
            await database.close()


async def prepare_content(servers: BenchmarkServers) -> None:
    async with open_clients(servers) as clients:
        await clients.prepare()
