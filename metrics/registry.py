"""Hold the registry of this process, and the rule for names: `tocsin_`, base units, bounded labels, no personal
data.

Labels are our own words (listed in `docs/metrics.md`) and names of providers: never a tenant, recipient or type.
"""

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each of them, which nothing here reads

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
