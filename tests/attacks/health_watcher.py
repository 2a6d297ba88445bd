"""Measure the latency of /healthz over its own connection while the API is busy."""

import http.client
import threading
import time
from math import ceil
from types import TracebackType
from typing import Self

from embedded.ports import LOOPBACK

INTERVAL = 0.02
# Timeout for a stalled API: longer than any attack may take.
RESPONSE_TIMEOUT = 60.0
SMALLEST_SAMPLE = 50


class HealthWatcher:
    """Measure in a thread, so that the test's own event loop does not affect the result.

    A request is due every 20 ms, and its latency counts from when it was due. A stall of one second therefore counts as
    50 late requests, not as one that a percentile would drop.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="health watcher")
        self._failure = ""
        self.latencies: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()
        if error is None and self._failure:
            raise AssertionError(f"/healthz failed: {self._failure}")

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[ceil(share * len(ordered)) - 1]

    @property
    def p99(self) -> float:
        return self.percentile(0.99)

    def _watch(self) -> None:
        """Make at least 50 requests, even if the attack ends sooner."""
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=RESPONSE_TIMEOUT)
        due, pause = time.monotonic(), threading.Event()
        try:
            while not (self._stopped.is_set() and len(self.latencies) >= SMALLEST_SAMPLE):
                pause.wait(max(due - time.monotonic(), 0))
                self._send(connection)
                self.latencies.append(time.monotonic() - due)
                due += INTERVAL
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._failure = f"{type(error).__name__}: {error}"
        finally:
            connection.close()

    def _send(self, connection: http.client.HTTPConnection) -> None:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise ValueError(f"status {response.status}")
