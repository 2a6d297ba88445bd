"""Compute the ratios that a run is judged by from its figures."""

from statistics import median

from benchmarks.figures import Figures, p95

# All processes except Temporal, per send.
PRODUCT_FIGURES = ("cpu_ms_worker", "cpu_ms_api", "cpu_ms_postgres")
FLOOR_WORKER = "cpu_ms_floor_worker"


def compute_ratios(figures: Figures) -> dict[str, float]:
    """Return the ratios. `receipt_cpu_ms…` are milliseconds; all others have no unit."""
    return {
        "single_vs_floor": median(figures.ratios("sent_rate_single")),
        "batch_vs_floor": median(figures.ratios("sent_rate_batch")),
        "accept_vs_insert": median(figures.ratios("accept_rate_single")),
        "batch_accept_vs_insert": median(figures.ratios("accept_rate_batch")),
        "priority_p95_backlog_vs_idle": _p95_ratio(figures, "latency_priority_1_backlog", "latency_priority_1_idle"),
        "bulk_rate_with_urgent_vs_alone": median(figures.ratios("bulk_rate_with_urgent")),
        "receipt_cpu_ms": median(figures.values("receipt_cpu_ms_batch")),
        "receipt_cpu_ms_single": median(figures.values("receipt_cpu_ms_single")),
        "send_cpu_vs_floor_worker": _cpu_ratio(figures),
    }


def _p95_ratio(figures: Figures, name: str, baseline: str) -> float:
    return p95(figures.values(name)) / p95(figures.values(baseline))


def _cpu_ratio(figures: Figures) -> float:
    """Divide CPU times, which are counted in steps of 10 ms: a run of a few notifications can have 0."""
    floor = median(figures.values(FLOOR_WORKER))
    return sum(median(figures.values(name)) for name in PRODUCT_FIGURES) / floor if floor else 0.0


def format_ratios(values: dict[str, float]) -> str:
    return "\n".join(f"{name:30}{value:>9.2f}" for name, value in values.items())
