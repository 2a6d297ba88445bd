"""Collect the figures of a run per measurement, pair them with figures of the same round, and summarize by the
median.
"""

from collections import defaultdict
from statistics import median, quantiles
from typing import Any

# Numerator and denominator of each ratio; both are of the same round.
BASELINES = {
    "sent_rate_batch": "floor_rate",
    "sent_rate_single": "floor_rate",
    "floor_eager_rate": "floor_rate",
    "accept_rate_single": "bare_rate",
    "accept_rate_batch": "bare_rate",
    "latency_priority_1": "floor_latency",
    "latency_priority_3": "floor_latency",
    "latency_priority_1_backlog": "latency_priority_1_idle",
    "bulk_rate_with_urgent": "bulk_rate_alone",
    "cpu_ms_send_block": "cpu_ms_floor_block",
    "cpu_waiting_ours": "cpu_idle_ours",
    "cpu_waiting_servers": "cpu_idle_servers",
    "cpu_waiting_swept_ours": "cpu_idle_ours",
    "cpu_waiting_swept_servers": "cpu_idle_servers",
}


class Figures:
    def __init__(self) -> None:
        self.rounds: dict[str, list[list[float]]] = defaultdict(list)

    def add(self, name: str, values: list[float]) -> None:
        """Add the result of one round: one rate, or some latencies."""
        self.rounds[name].append(values)

    def ratios(self, name: str) -> list[float]:
        """Return the ratios of the medians, round by round, so that the machine's other load affects both halves."""
        pairs = zip(self.rounds[name], self.rounds[BASELINES[name]], strict=True)
        return [median(values) / median(baseline) for values, baseline in pairs]

    def values(self, name: str) -> list[float]:
        """Return the values of all rounds."""
        return [value for values in self.rounds[name] for value in values]

    def summary(self) -> dict[str, Any]:
        return {name: self._summarize(name) for name in self.rounds}

    def _summarize(self, name: str) -> dict[str, Any]:
        values = self.values(name)
        summary: dict[str, Any] = {"median": median(values), "p95": p95(values), "rounds": self.rounds[name]}
        if BASELINES.get(name) in self.rounds:
            ratios = self.ratios(name)
            summary |= {"baseline": BASELINES[name], "median_ratio": median(ratios), "ratios": ratios}
        return summary

    def table(self) -> str:
        lines = [f"{'':28}{'median':>11}{'p95':>10}{'ratio':>10}"]
        for name, figure in self.summary().items():
            shown, worst = (
                _format_value(name, figure["median"]),
                _format_value(name, figure["p95"]) if "latency" in name else "",
            )
            ratio = f"{figure['median_ratio']:.2f} x {figure['baseline']}" if "median_ratio" in figure else ""
            lines.append(f"{name:28}{shown:>11}{worst:>10}     {ratio}".rstrip())
        return "\n".join(lines)


def _format_value(name: str, value: float) -> str:
    if "latency" in name:
        return f"{value * 1000:.0f} ms"
    if name == "search_buffers":
        return f"{value:.0f} pages"
    if name.startswith(("cpu_ms_", "receipt_cpu_ms")):
        return f"{value:.2f} ms"
    return f"{value * 100:.1f} %" if name.startswith("cpu_") else f"{value:.1f}/s"


def p95(values: list[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]
