"""Choose loopback ports for the stack: the requested ones if they are free, or free ones for 0."""

import random
import socket
from collections.abc import Collection, Mapping
from pathlib import Path

from embedded.errors import StackError

EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOOPBACK = "127.0.0.1"
LOWEST_PORT = 10_000
DEFAULT_EPHEMERAL_START = 32_768
MAX_ATTEMPTS = 200


def claim_ports(requested: Mapping[str, int], hosts: Mapping[str, str]) -> dict[str, int]:
    """Return one port per setting, all different. `hosts` names those that listen on other addresses. Raises
    StackError.
    """
    claimed: dict[str, int] = {}
    for setting, port in requested.items():
        host = hosts.get(setting, LOOPBACK)
        if port and (port in claimed.values() or not is_free(port, host)):
            raise StackError(f"port {port} is taken; set {setting}=0 to pick a free one")
        claimed[setting] = port or free_port(host, avoid={*requested.values(), *claimed.values()})
    return claimed


def free_port(host: str = LOOPBACK, avoid: Collection[int] = ()) -> int:
    """Return a free port below the kernel's range for outgoing connections.

    The port must stay free while its server restarts. An outgoing connection could take one of the kernel's own range,
    even that of a client that keeps calling the missing server and connects to itself.
    """
    candidates = range(LOWEST_PORT, _ephemeral_start())
    for port in random.sample(candidates, MAX_ATTEMPTS):
        if port not in avoid and is_free(port, host):
            return port
    raise StackError(f"found no free port on {host}")


def is_free(port: int, host: str = LOOPBACK) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Connections of the last run in TIME_WAIT do not block the servers either.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _ephemeral_start() -> int:
    try:
        start = int(EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        start = DEFAULT_EPHEMERAL_START
    return start if start > LOWEST_PORT + MAX_ATTEMPTS else DEFAULT_EPHEMERAL_START
