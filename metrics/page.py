"""Build the page of one process, and merge the pages of all worker processes of a machine."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from metrics.fetch import fetch_page
from metrics.registry import REGISTRY

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PROCESS_LABEL = "process"
UP_METRIC = "tocsin_process_up"
UP_HELP = "1 if a worker process answered with its page."


class MetricsPage:
    """Build a page. `sdk_port` is where Temporal's SDK serves its own metrics on loopback; None: this process has
    none."""

    def __init__(self, sdk_port: int | None = None) -> None:
        self._sdk_port = sdk_port
        self._own = CollectorRegistry()

    def add(self, collector: Collector) -> None:
        self._own.register(collector)

    async def text(self) -> str:
        """Return the page, without Temporal's part if that does not respond in time."""
        own = generate_latest(REGISTRY).decode() + generate_latest(self._own).decode()
        sdk = None if self._sdk_port is None else await fetch_page(self._sdk_port)
        return own + (sdk or "")


def merge_pages(pages: Mapping[int, str | None]) -> str:
    """Merge the pages of several processes and label each series with `process`. None: the process did not respond."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for number, page in pages.items():
        for name, comments, samples in _families(page or ""):
            _, lines = families.setdefault(name, (comments, []))
            lines += [_labeled(sample, number) for sample in samples]
    lines = [line for comments, samples in families.values() for line in (*comments, *samples)]
    up = [f'{UP_METRIC}{{{PROCESS_LABEL}="{number}"}} {int(page is not None)}' for number, page in pages.items()]
    return "\n".join([*lines, f"# HELP {UP_METRIC} {UP_HELP}", f"# TYPE {UP_METRIC} gauge", *up, ""])


def _families(page: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Return name, comments and samples. Both exporters write the comments of a family before its samples."""
    name, comments, samples = "", list[str](), list[str]()
    for line in page.splitlines():
        if not line.startswith("#"):
            samples += [line] if line else []
            continue
        family_name = line.split(" ", 3)[2] if line.count(" ") >= 2 else name
        if family_name != name:
            if name:
                yield name, comments, samples
            name, comments, samples = family_name, [], []
        comments.append(line)
    if name:
        yield name, comments, samples


def _labeled(sample: str, number: int) -> str:
    """Add the label of the process. A brace or a space ends the name of the metric."""
    label = f'{PROCESS_LABEL}="{number}"'
    name, brace, rest = sample.partition("{")
    if brace:
        return f"{name}{{{label},{rest}"
    name, _, value = sample.partition(" ")
    return f"{name}{{{label}}} {value}"
