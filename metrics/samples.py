"""Hold the state of the whole installation, as the leader reads it from the database every few seconds."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

CIRCUIT_STATES = ("closed", "open", "half_open")
# Seconds. Older samples are not shown: a process that is no longer the leader, or has no database, knows nothing.
MAX_SAMPLE_AGE = 30.0

# Name → description, and its label if it has one.
GAUGE_DEFINITIONS: Mapping[str, tuple[str, str | None]] = {
    "tocsin_queue_depth": ("Notifications that are due and not claimed, counted up to 20,000.", "priority"),
    "tocsin_queue_age_seconds": ("How long the oldest of them has been due.", "priority"),
    "tocsin_oldest_open_notification_age_seconds": ("Age of the oldest notification that has not finished.", None),
    "tocsin_waits": ("Notifications that wait, by cause, counted up to 20,000.", "cause"),
    "tocsin_slots_in_use": ("Slots of all worker processes that are taken.", None),
    "tocsin_holds": ("Pauses of providers, channels and types.", "kind"),
    "tocsin_provider_throttled": ("1 while a provider wants no calls.", "provider"),
    "tocsin_receipts_waiting": ("Receipts that are not applied, counted up to 20,000.", None),
    "tocsin_receipts_unmatched": ("Those of them that matched no attempt so far.", None),
    "tocsin_receipt_lag_seconds": ("How long the oldest receipt that is due has waited.", None),
    "tocsin_event_webhooks_waiting": ("Event webhooks that are due, counted up to 20,000.", None),
    "tocsin_event_webhook_lag_seconds": ("How long the oldest event webhook that is due has waited.", None),
}
CIRCUIT_METRIC = "tocsin_provider_circuit_state"
SAMPLE_TIME_METRIC = "tocsin_sample_timestamp_seconds"
CIRCUIT_HELP = "1 for the state that a provider's circuit is in."
SAMPLE_TIME_HELP = "When the gauges of the installation were read."


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Hold the values. `values`: name → value of the label ("" without one) → value. `circuits`: provider → state."""

    values: Mapping[str, Mapping[str, float]]
    circuits: Mapping[str, str] = field(default_factory=dict)
    at: float = field(default_factory=time.time)
    taken_at: float = field(default_factory=time.monotonic)


class SampledGauges(Collector):
    """Show the last sample of this process while it is fresh. After a change of the leader two processes show theirs
    for some seconds, so a query takes the maximum and not the sum."""

    def __init__(self) -> None:
        self._sample: Sample | None = None

    def update(self, sample: Sample) -> None:
        self._sample = sample

    def clear(self) -> None:
        self._sample = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        sample = self._sample
        if sample is None or time.monotonic() - sample.taken_at > MAX_SAMPLE_AGE:
            return
        for name, values in sample.values.items():
            yield _family(name, values)
        circuits = GaugeMetricFamily(CIRCUIT_METRIC, CIRCUIT_HELP, labels=["provider", "state"])
        for provider, current in sample.circuits.items():
            for state in CIRCUIT_STATES:
                circuits.add_metric([provider, state], float(state == current))
        yield circuits
        yield GaugeMetricFamily(SAMPLE_TIME_METRIC, SAMPLE_TIME_HELP, value=sample.at)


def _family(name: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    help_text, label = GAUGE_DEFINITIONS[name]
    family = GaugeMetricFamily(name, help_text, labels=[label] if label else [])
    for value, number in values.items():
        family.add_metric([value] if label else [], number)
    return family
