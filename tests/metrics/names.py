"""Collect the metrics that the processes export, and read pages."""

import re
from collections.abc import Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from metrics import attempts, engine, inbound_messages, sends
from metrics.page import UP_METRIC
from metrics.registry import GAUGE_HELP, REGISTRY
from metrics.samples import CIRCUIT_METRIC, GAUGE_DEFINITIONS, SAMPLE_TIME_METRIC

INCREMENTED = (attempts, engine, inbound_messages, sends)  # the import registers their metrics
# Every label and its values. A provider is one of the registry.
LABELS = {
    "cause",
    "channel",
    "kept",
    "kind",
    "le",
    "limit",
    "loop",
    "outcome",
    "priority",
    "process",
    "provider",
    "reason",
    "state",
    "status",
    "table",
}
PREFIX = "tocsin_"
SUFFIXES = re.compile(r"_(bucket|count|sum)$")


def exported() -> dict[str, str]:
    """Return name in queries → type."""
    gauges = {*GAUGE_HELP, *GAUGE_DEFINITIONS, CIRCUIT_METRIC, SAMPLE_TIME_METRIC, UP_METRIC}
    counted = {f"{family.name}_total": "counter" for family in REGISTRY.collect() if family.type == "counter"}
    timed = {family.name: "histogram" for family in REGISTRY.collect() if family.type == "histogram"}
    found = {**dict.fromkeys(gauges, "gauge"), **counted, **timed}
    return {name: kind for name, kind in found.items() if name.startswith(PREFIX)}


def families(page: str) -> dict[str, Metric]:
    """Parse a page; raise ValueError if it is no exposition."""
    return {family.name: family for family in text_string_to_metric_families(page)}


def samples(page: str, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == name:
                yield sample.labels, sample.value


def value(page: str, name: str, **labels: str) -> float:
    """Return the sum of the series with these labels; 0 if there is none."""
    return sum(number for given, number in samples(page, name) if labels.items() <= given.items())


def queried(expression: str) -> set[str]:
    """Return our names in a query; series of a histogram by its name."""
    return {SUFFIXES.sub("", name) for name in re.findall(r"\btocsin_[a-z_]+", expression)}
