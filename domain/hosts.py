"""Parse names and addresses of hosts in settings and the heads of HTTP requests. Pure."""

import re
from ipaddress import ip_address

AUTHORITY = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]*)?", re.ASCII | re.IGNORECASE)
LOCALHOST = "localhost"


def host_of(authority: str) -> str:
    """Return the host of `host:port` in lower case, without brackets and a dot at the end; empty if it is not valid."""
    found = AUTHORITY.fullmatch(authority)
    return (found["v6"] or found["name"]).lower().removesuffix(".") if found else ""


def is_loopback(host: str) -> bool:
    """Return whether the name or address always leads to this machine only."""
    if host == LOCALHOST or host.endswith(f".{LOCALHOST}"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def headers_of(head: bytes) -> list[tuple[bytes, bytes]]:
    """Return name and value of each header of a request head, which ends with an empty line."""
    lines = head.split(b"\r\n")[1:-2]
    return [(name, value) for name, _, value in (line.partition(b":") for line in lines)]


def is_local_request(head: bytes) -> bool:
    """Return whether the head has one Host header, which leads to this machine only."""
    hosts = [value.strip() for name, value in headers_of(head) if name.lower() == b"host"]
    return len(hosts) == 1 and is_loopback(host_of(hosts[0].decode("latin-1")))
