"""X-Forwarded-For from an address that is no trusted proxy: it is not believed, which an operator must learn."""

import structlog

from metrics.engine import forwarded_for_ignored

LOGGED_AT_MOST = 100  # peers: anyone can send the field

log = structlog.get_logger(__name__)


class IgnoredForwards:
    def __init__(self) -> None:
        self._logged = set[str]()

    def note(self, peer: str) -> None:
        """Count the request, and log the first one of the peer."""
        forwarded_for_ignored()
        if peer in self._logged or len(self._logged) >= LOGGED_AT_MOST:
            return
        self._logged.add(peer)
        log.warning("X-Forwarded-For is ignored; a reverse proxy must be in TOCSIN_TRUSTED_PROXIES", peer=peer)
