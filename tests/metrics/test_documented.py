"""Test that docs/metrics.md, dashboards and alert rules name exactly the metrics that exist."""

import json
import re
from typing import Any

import pytest
import yaml

from metrics.engine import PrunedTable, ReachedLimit
from metrics.reasons import CATEGORIES
from metrics.registry import GAUGE_HELP, REGISTRY
from metrics.samples import CIRCUIT_METRIC, GAUGE_DEFINITIONS
from tests.code.tree import ROOT
from tests.metrics.names import LABELS, exported, queried

PAGE = (ROOT / "docs/metrics.md").read_text()
ROW = re.compile(r"^\| `(tocsin_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
RUNBOOKS = ROOT / "docs/runbooks"
SEVERITIES = {"critical", "warning", "info"}
SECTIONS = ["Meaning", "Diagnosis", "Actions"]


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def labels_of(name: str) -> set[str]:
    """Return the labels as the code declares them."""
    if name in GAUGE_DEFINITIONS:
        return {label for label in GAUGE_DEFINITIONS[name][1:] if label}
    if name in GAUGE_HELP:
        return set()
    own: set[str] = set()
    for collector in REGISTRY._collector_to_names:
        if getattr(collector, "_name", None) == name.removesuffix("_total"):
            own = set(getattr(collector, "_labelnames", ()))
    return {"provider", "state"} if name == CIRCUIT_METRIC else own


def test_every_metric_is_documented_with_its_type_and_nothing_else_is() -> None:
    assert {name: kind for name, kind, _ in ROW.findall(PAGE)} == exported()


def test_documented_labels_are_those_of_the_code() -> None:
    documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels in ROW.findall(PAGE)}
    documented.pop("tocsin_process_up")
    documented.pop("tocsin_sample_timestamp_seconds")
    assert documented == {name: labels_of(name) for name in documented}
    assert set().union(*documented.values()) <= LABELS


@pytest.mark.parametrize(
    "words", [[limit.value for limit in ReachedLimit], [table.value for table in PrunedTable], CATEGORIES]
)
def test_every_value_of_a_label_is_documented(words: list[str]) -> None:
    assert [word for word in words if f"`{word}`" not in PAGE] == []


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_shows_metrics_that_exist(path: Any) -> None:
    dashboard = json.loads(path.read_text())
    panels = dashboard["panels"]
    assert [name for panel in panels for query in expressions(panel) for name in queried(query) - set(exported())] == []
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(expressions(panel) and panel["title"] for panel in panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {"prometheus"}
    assert {(panel["gridPos"]["x"] + panel["gridPos"]["w"]) <= 24 for panel in panels} == {True}


def test_every_metric_is_on_a_dashboard() -> None:
    shown = set[str]()
    for path in DASHBOARDS:
        shown |= queried(path.read_text())
    assert set(exported()) - shown == set()


def test_dashboards_have_names_and_ids_of_their_own() -> None:
    dashboards = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert len({dashboard["uid"] for dashboard in dashboards}) == len({d["title"] for d in dashboards}) == 3


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_has_a_severity_a_summary_and_a_runbook(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    runbook = (RUNBOOKS / f"{name}.md").read_text()
    assert runbook.startswith(f"# {name}\n\nSeverity: {rule['labels']['severity']}.")
    assert re.findall(r"^## (.+)$", runbook, re.MULTILINE) == SECTIONS
    assert queried(rule["expr"]) <= set(exported())


def test_every_runbook_belongs_to_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in RULES}


def test_runbooks_name_metrics_settings_and_pages_that_exist() -> None:
    for path in RUNBOOKS.glob("*.md"):
        text = path.read_text()
        assert queried(text) <= set(exported()), path.name
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
