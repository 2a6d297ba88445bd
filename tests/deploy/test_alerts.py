"""Test the alert rules with promtool: on invented series, and on series recorded while processes were frozen or
killed.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.code.tree import ROOT

PROMETHEUS = ROOT / "deploy/prometheus"
RULES = PROMETHEUS / "alerts.yml"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
RECORDED = [path for path in TESTS if path.name.startswith("recorded-")]
PROMTOOL = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False)


def alerts() -> set[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"]}


def expectations(path: Path) -> list[dict[str, Any]]:
    tests = yaml.safe_load(path.read_text())["tests"]
    return [each for test in tests for each in (*test.get("alert_rule_test", []), *test.get("promql_expr_test", []))]


@needs_promtool
def test_the_rules_are_valid() -> None:
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stderr
    assert f"{len(alerts())} rules found" in checked.stdout


@needs_promtool
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_right_alerts_fire(path: Path) -> None:
    tested = promtool("test", "rules", path)
    assert tested.returncode == 0, tested.stderr + tested.stdout


@needs_promtool
@pytest.mark.parametrize(("value", "code"), [(0, 0), (2, 1)])
def test_a_rule_that_never_fires_is_found(tmp_path: Path, value: int, code: int) -> None:
    rules, given = RULES.read_text(), yaml.safe_load((PROMETHEUS / "tests/alerts.yml").read_text())
    assert "tocsin_process_up == 0" in rules
    given["tests"] = [test for test in given["tests"] if test["name"] == "TocsinWorkerProcessDown"]
    (tmp_path / "alerts.yml").write_text(rules.replace("tocsin_process_up == 0", f"tocsin_process_up == {value}"))
    copy = tmp_path / "tests" / "alerts.yml"
    copy.parent.mkdir()
    copy.write_text(yaml.safe_dump(given))
    assert promtool("test", "rules", copy).returncode == code


def test_every_alert_is_expected_to_fire_and_not_to_fire() -> None:
    every = expectations(PROMETHEUS / "tests/alerts.yml")
    assert {each["alertname"] for each in every if "exp_alerts" in each} == alerts()
    assert {each["alertname"] for each in every if "exp_alerts" not in each} == alerts()


def test_every_fault_was_recorded() -> None:
    assert {path.stem for path in RECORDED} == {
        "recorded-frozen-process",
        "recorded-full-pool",
        "recorded-killed-provider",
        "recorded-lost-temporal",
        "recorded-stopped-workers",
    }
    for path in RECORDED:
        before, during = (each["exp_samples"] for each in expectations(path))
        assert (before, bool(during)) == ([], True), path.name
