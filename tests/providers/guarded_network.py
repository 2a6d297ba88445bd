"""Call through the network guard, with recorded connections and a resolver with given results."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpcore2

from domain.target_urls import TargetPolicy
from providers.network_guard import GuardedBackend, Resolver, guarded_http_transport, resolve
from providers.transport import Transport, outgoing_client


class Network(httpcore2.AsyncNetworkBackend):
    """Record connections without making them."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.dead: set[str] = set()

    async def connect_tcp(self, host: str, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        self.called.append(host)
        if host in self.dead:
            raise httpcore2.ConnectError
        return httpcore2.AsyncMockStream([b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"])


class Names:
    """Resolve to each result in order, and to the last one from then on."""

    def __init__(self, *results: list[str]) -> None:
        self.results = list(results)
        self.resolved: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.resolved.append(host)
        return self.results.pop(0) if len(self.results) > 1 else self.results[0]


def backend(
    names: Resolver = resolve, network: httpcore2.AsyncNetworkBackend | None = None, **targets: Any
) -> GuardedBackend:
    return GuardedBackend(TargetPolicy(**targets), names, network, failure_delay=0)


@asynccontextmanager
async def way(to: GuardedBackend) -> AsyncIterator[Transport]:
    async with outgoing_client(guarded_http_transport(to)) as client:
        yield Transport(client)
