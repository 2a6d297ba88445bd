"""Decide from a URL that users choose whether it may be called. Pure."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from domain.hosts import host_of, is_loopback

WEB_PORTS = frozenset({80, 443})
PORT_OF = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetPolicy:
    """Define the allowed targets. `private`: also addresses that are not public. `ports`: only these; empty means
    any. `own_host` is the name of this installation (empty: only `own_port` on this machine), `own_port` the port of
    its API."""

    private: bool = False
    ports: frozenset[int] = WEB_PORTS
    own_host: str = ""
    own_port: int = 0

    def find_issue(self, url: str) -> str | None:
        """Return what is wrong with the URL, which must be valid; resolves no name."""
        parts = urlsplit(url)
        host, port = host_of(parts.netloc), parts.port or PORT_OF[parts.scheme]
        if not self.has_port(port):
            return f"must use one of these ports: {', '.join(map(str, sorted(self.ports)))}"
        if self.is_own(host) or (is_loopback(host) and port == self.own_port):
            return "must not lead to this installation itself"
        return None

    def has_port(self, port: int) -> bool:
        return not self.ports or port in self.ports

    def is_own(self, host: str) -> bool:
        return self.own_host != "" and host.lower().removesuffix(".") == self.own_host
