"""`make provider` writes an adapter that lacks nothing, and whose tests pass."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.code.test_providers_complete import missing
from tests.code.tree import ROOT
from tests.providers.skeleton.__main__ import ENTRY, SkeletonRefused, write_skeleton, write_tables
from tests.providers.skeleton.channels import CHANNELS

CHANGED = ("providers/registry.py", "tests/providers/harnesses.py", "docs/providers.md", ".env.example", "CHANGELOG.md")

PYTEST = ("pytest", "-q", "-p", "no:cacheprovider", "-n0")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that the skeleton changes, and the folders that it writes to."""
    for folder in ("tests/providers/payloads", "testing/vendors"):
        (tmp_path / folder).mkdir(parents=True)
    for path in CHANGED:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_skeleton_lacks_nothing(checkout: Path, channel: str) -> None:
    paths = write_skeleton(checkout, "acme_mobile", channel)
    assert set(paths) > set(CHANGED)
    assert list(missing("acme_mobile", "Acme Mobile", parses_receipts=True, root=checkout)) == []
    for path in paths:
        if path.endswith(".py"):
            ast.parse((checkout / path).read_text())
    for path in CHANGED[:2]:
        lines = [line for line in (checkout / path).read_text().splitlines() if ENTRY.match(line)]
        assert lines == sorted(lines)


def test_a_skeleton_has_the_name_that_the_vendor_writes(checkout: Path) -> None:
    write_skeleton(checkout, "acme_mobile", "sms", "AcmeMobile")
    adapter = (checkout / "providers/acme_mobile.py").read_text()
    assert 'title: ClassVar[str] = "AcmeMobile"' in adapter
    assert "class AcmeMobile(Provider)" in adapter
    assert list(missing("acme_mobile", "AcmeMobile", parses_receipts=True, root=checkout)) == []


@pytest.mark.parametrize(
    ("name", "channel", "title", "problem"),
    [
        ("Acme", "sms", "", "NAME"),
        ("acme", "pigeon", "", "email, sms"),
        ("acme", "sms", 'Acme "Mobile"', "TITLE"),
        ("twilio", "sms", "", "exists"),
    ],
)
def test_a_bad_request_changes_nothing(checkout: Path, name: str, channel: str, title: str, problem: str) -> None:
    (checkout / "providers/twilio.py").write_text("")
    before = {path: (checkout / path).read_text() for path in CHANGED}
    with pytest.raises(SkeletonRefused, match=problem):
        write_skeleton(checkout, name, channel, title)
    assert {path: (checkout / path).read_text() for path in CHANGED} == before


@pytest.mark.long
@pytest.mark.parametrize("channel", CHANNELS)
def test_the_tests_of_a_skeleton_pass(tmp_path: Path, channel: str) -> None:
    checkout = tmp_path / "checkout"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for path in listed:
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, checkout / path)
    paths = write_skeleton(checkout, "acme", channel)
    write_tables(checkout)
    for command in (["init", "-q"], ["add", "-A"]):  # the tests of words list the files by git
        subprocess.run(["git", *command], cwd=checkout, check=True)
    sources = [path for path in paths if path.endswith(".py")]
    for command in (
        ["ruff", "check", *sources],
        ["ruff", "format", "--check", *sources],
        ["mypy", *sources],
        [*PYTEST, "-k", "acme", "tests/providers", "tests/examples", "tests/stories"],
        [*PYTEST, "tests/code", "tests/docs/test_provider_table.py"],
    ):
        done = subprocess.run([sys.executable, "-m", *command], cwd=checkout, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
