"""An application whose rate limits a test sets."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from pydantic import SecretStr

from api.limits.rate_limits import RateLimits
from config import Settings
from tests.api_tenants import bearer

BASE = "http://tocsin.test/api/v1"
CALLER = "198.51.100.7"


def settings(**limits: Any) -> Settings:
    return Settings(env="dev", secret_key=SecretStr(""), _env_file=None, **limits)


@dataclass
class RateClock:
    now: float = 1_000_060.0  # 20 s before a new minute

    def __call__(self) -> float:
        return self.now


@dataclass
class Limited:
    """One tenant of an application whose limits a test sets."""

    app: FastAPI
    new_key: Callable[[], Any]
    clock: RateClock = field(default_factory=RateClock)

    def limit(self, **limits: Any) -> None:
        self.app.state.rate_limits = RateLimits(settings(**limits), self.clock)

    @asynccontextmanager
    async def client(self, address: str = CALLER) -> AsyncIterator[AsyncClient]:
        headers = bearer(await self.new_key())
        transport = ASGITransport(self.app, client=(address, 4711))
        async with AsyncClient(transport=transport, base_url=BASE, headers=headers) as http:
            yield http
