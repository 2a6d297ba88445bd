"""Hold the registry of this process, and the rule for names: `tocsin_`, base units, bounded labels, no personal
data.

Labels are our own words (listed in `docs/metrics.md`) and names of providers: never a tenant, recipient or type.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each of them, which nothing here reads

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)


# Name → description.
GAUGE_HELP: Mapping[str, str] = {
    "tocsin_api_connections_max": "Connections that this API process accepts.",
    "tocsin_api_connections_open": "Connections to this API process that are open.",
    "tocsin_database_connections_in_use": "Connections of the pool that are in use.",
    "tocsin_database_connections_max": "Connections that the pool may open.",
    "tocsin_database_connections_waiting": "Transactions that wait for a connection.",
    "tocsin_rate_limit_store_up": "1 if the shared store of rate limits answered last, 0 if this process counts alone.",
    "tocsin_receipt_bodies_bytes": "Size of the bodies of receipts that are not verified yet.",
    "tocsin_receipt_bodies_max_bytes": "Most that these may take.",
    "tocsin_render_processes_in_use": "Rendering processes that are busy.",
    "tocsin_render_processes_max": "Rendering processes of this process.",
    "tocsin_render_calls_waiting": "Renders and schema checks that wait for a rendering process.",
    "tocsin_slots_max": "Notifications that this worker process handles at a time.",
    "tocsin_slots_reserved": "Slots of this worker process that are reserved for priorities 1 and 2.",
    "tocsin_leader": "1 if this process holds the leader's lease.",
}


class ProcessGauges(Collector):
    """Read the gauges. `readers` are by the name of the gauge; those that are missing do not apply to this process."""

    def __init__(self, readers: Mapping[str, Callable[[], float]]) -> None:
        self._readers = readers

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, read in self._readers.items():
            yield GaugeMetricFamily(name, GAUGE_HELP[name], value=read())
