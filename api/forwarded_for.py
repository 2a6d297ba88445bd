"""Report X-Forwarded-For from an address that is not a trusted proxy. It is ignored, and the operator must learn of
it."""

import structlog

from metrics.engine import count_ignored_forwarded_for

MAX_LOGGED_PEERS = 100  # bounded, because any client can send the field

log = structlog.get_logger(__name__)


class IgnoredForwardedHeaders:
    def __init__(self) -> None:
        self._logged = set[str]()

    def record(self, peer: str) -> None:
        """Count the request, and log the first one of each peer."""
        count_ignored_forwarded_for()
        if peer in self._logged or len(self._logged) >= MAX_LOGGED_PEERS:
            return
        self._logged.add(peer)
        log.warning("X-Forwarded-For is ignored; a reverse proxy must be in TOCSIN_TRUSTED_PROXIES", peer=peer)
