"""Guard requests to URLs that users choose: resolve once, check every address, connect to a checked address.

A name that resolves differently the next time cannot lead to an internal address, and the TLS name and the Host header
stay those of the URL. `ipaddress.is_private` and `is_global` do not suffice: they miss NAT64, 6to4 and the metadata
addresses of Azure and Oracle.

A refused target fails like an unreachable one, with the same error after the same time. A difference would reveal to
tenants which internal names and hosts exist.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NoReturn

import httpcore2
import httpx2

from domain.target_urls import TargetPolicy
from providers.transport import CONNECTION_LIMITS

Resolver = Callable[[str, int], Awaitable[list[str]]]

# Separate threads: a lookup that waits for an unresponsive name server does not use up the threads of other work.
RESOLVER_THREADS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="resolve")

# https://www.iana.org/assignments/iana-ipv4-special-registry
BLOCKED_IPV4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # unspecified: this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform address
        "169.254.0.0/16",  # link-local; metadata of AWS, Azure, Google and others
        "172.16.0.0/12",
        "192.0.0.0/24",  # Oracle's metadata is 192.0.0.192
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
# https://www.iana.org/assignments/ipv6-unicast-address-assignments: all public allocations. They exclude loopback,
# IPv4-mapped and -compatible, NAT64, unique local (metadata of AWS and Google), link-local and multicast.
PUBLIC_IPV6 = IPv6Network("2000::/3")
# https://www.iana.org/assignments/iana-ipv6-special-registry, as far as it lies within the public allocations.
BLOCKED_IPV6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocols, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
]


# Seconds before a connection may fail. Responses of name servers and refused connections are faster.
FAILURE_DELAY = 1.0


def is_blocked(address: str) -> bool:
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        return found not in PUBLIC_IPV6 or any(found in network for network in BLOCKED_IPV6)
    return any(found in network for network in BLOCKED_IPV4)


async def resolve(host: str, port: int) -> list[str]:
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(RESOLVER_THREADS, look_up)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_local_address(address: str) -> bool:
    """Return whether the address belongs to this machine: only local addresses can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connect to checked addresses only. Raise ConnectError for every failure, before any byte is sent."""

    def __init__(
        self,
        targets: TargetPolicy,
        resolve: Resolver = resolve,
        network: httpcore2.AsyncNetworkBackend | None = None,
        failure_delay: float = FAILURE_DELAY,
    ) -> None:
        self._targets = targets
        self._resolve = resolve
        self._network = network or httpcore2.AnyIOBackend()
        self._fails_after = 0.0 if targets.private else failure_delay

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
                if self._is_allowed(host, port, addresses):
                    return await self._connect_first(addresses, port, local_address, socket_options)
        except (OSError, UnicodeError, httpcore2.ConnectError, httpcore2.ConnectTimeout):
            pass  # includes the timeout above, which is an OSError
        return await self._raise_after_delay(began)

    def _is_allowed(self, host: str, port: int, addresses: list[str]) -> bool:
        targets = self._targets
        if not targets.has_port(port) or targets.is_own(host) or any(map(targets.is_own, addresses)):
            return False
        if port == targets.own_port and any(map(is_local_address, addresses)):
            return False
        return targets.private or not any(map(is_blocked, addresses))

    async def _raise_after_delay(self, began: float) -> NoReturn:
        await asyncio.sleep(began + self._fails_after - time.monotonic())
        raise httpcore2.ConnectError

    async def _connect_first(
        self,
        addresses: list[str],
        port: int,
        local_address: str | None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.AsyncNetworkStream:
        """Return a connection to the first address that responds."""
        failed: httpcore2.ConnectError | None = None
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    address, port, local_address=local_address, socket_options=socket_options
                )
            except httpcore2.ConnectError as error:
                failed = error
        raise failed or httpcore2.ConnectError

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


def guarded_http_transport(backend: GuardedBackend) -> httpx2.AsyncBaseTransport:
    """Build the transport for `outgoing_client`. httpx2 has no setting for a backend, so its pool is replaced."""
    transport = httpx2.AsyncHTTPTransport(trust_env=False)
    transport._pool = httpcore2.AsyncConnectionPool(
        ssl_context=httpx2.create_ssl_context(trust_env=False),
        max_connections=CONNECTION_LIMITS.max_connections,
        max_keepalive_connections=CONNECTION_LIMITS.max_keepalive_connections,
        keepalive_expiry=CONNECTION_LIMITS.keepalive_expiry,
        network_backend=backend,
    )
    return transport
