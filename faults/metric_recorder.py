"""Record what Prometheus would scrape during a fault, as a test file for promtool.

One scrape per second of the run represents one per 15 s: conditions that must hold for a minute are reached in seconds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from faults.pace import wait_seconds
from tests.code.tree import ROOT
from tests.metrics.names import queried

RULES = ROOT / "deploy/prometheus/alerts.yml"
INTERVAL = 15  # seconds, of Prometheus
PACE = 1.0  # seconds between two scrapes of the run
BEFORE, AFTER = 5, 10  # scrapes before a fault, and after it is visible
LONGEST = 60  # scrapes within which it must be visible
GONE, NONE = "stale", "_"

Page = Callable[[], Awaitable[str | None]]
Values = Mapping[str, str]
Shows = Callable[[Values], bool]


class MetricRecorder:
    """Scrape `pages`, by job."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        self._scrapes: list[Values] = []
        text = RULES.read_text()
        self._wanted = queried(text) | {"process_start_time_seconds"}

    def forget(self) -> None:
        self._scrapes.clear()

    async def scrape(self) -> Values:
        began = asyncio.get_running_loop().time()
        pages = await asyncio.gather(*(page() for page in self._pages.values()))
        values: dict[str, str] = {}
        for job, page in zip(self._pages, pages, strict=True):
            target = {"job": job, "instance": job.removeprefix("tocsin-")}
            values[series("up", target)] = str(int(page is not None))
            values |= self._samples(page or "", target)
        self._scrapes.append(values)
        await wait_seconds(max(0.0, PACE - (asyncio.get_running_loop().time() - began)))
        return values

    def _samples(self, page: str, target: Mapping[str, str]) -> Values:
        return {
            series(sample.name, {**target, **sample.labels}): f"{sample.value:.10g}"
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if queried(sample.name) & self._wanted or sample.name in self._wanted
        }

    async def run(self, fault: Callable[[], Awaitable[object]], shows: Shows, after: int = AFTER) -> None:
        """Record a healthy system, then the fault, until it has been visible for more than a minute of Prometheus'
        time.
        """
        for _ in range(BEFORE):
            await self.scrape()
        await fault()
        for _ in range(LONGEST):
            if shows(await self.scrape()):
                break
        else:
            raise AssertionError("the fault is not visible")
        for _ in range(after):
            await self.scrape()

    def write(self, path: Path, name: str, firing: list[str]) -> None:
        """Write a test that expects exactly these alerts at the end, and none before the fault."""
        last = len(self._scrapes) - 1
        test = {
            "name": name,
            "interval": f"{INTERVAL}s",
            "input_series": [{"series": each, "values": " ".join(self._values(each))} for each in self._known()],
            "promql_expr_test": [_expected((BEFORE - 1) * INTERVAL, []), _expected(last * INTERVAL, firing)],
        }
        content = {"rule_files": ["../alerts.yml"], "evaluation_interval": f"{INTERVAL}s", "tests": [test]}
        head = "# Recorded by tests/faults/test_alerts.py from real processes; one scrape per second represents 15 s.\n"
        path.write_text(head + yaml.safe_dump(content, sort_keys=False, width=10_000))

    def _known(self) -> list[str]:
        return sorted({name for scrape in self._scrapes for name in scrape})

    def _values(self, name: str) -> list[str]:
        values: list[str] = []
        for before, now in zip([{}, *self._scrapes], self._scrapes, strict=False):
            values.append(now.get(name, GONE if name in before else NONE))
        return values


def series(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}"


def has(values: Values, name: str, value: str, *labels: str) -> bool:
    """Return whether a series of that metric, with these label parts, has the value."""
    of_metric = {each: now for each, now in values.items() if each.startswith(name + "{")}
    return any(now == value and all(label in each for label in labels) for each, now in of_metric.items())


def _expected(seconds: int, firing: list[str]) -> dict[str, Any]:
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(firing)]
    expression = 'group by (alertname) (ALERTS{alertstate="firing"})'
    return {"expr": expression, "eval_time": f"{seconds}s", "exp_samples": samples}
