"""Make Temporal's SDK serve its own metrics on loopback, where our page reads them."""

import socket

from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

LOOPBACK = "127.0.0.1"
MAX_ATTEMPTS = 5


def serve_sdk_metrics() -> int | None:
    """Return the port; None if no port is available. Call it once per process, before the first Temporal client and
    after a fork: the runtime has threads."""
    for _ in range(MAX_ATTEMPTS):
        port = _free_port()
        config = PrometheusConfig(
            bind_address=f"{LOOPBACK}:{port}",
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
        )
        try:
            runtime = Runtime(telemetry=TelemetryConfig(metrics=config))
        except ValueError:  # another process has taken the port since
            continue
        Runtime.set_default(runtime)
        return port
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
