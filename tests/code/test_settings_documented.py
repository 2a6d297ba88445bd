"""`.env.example` and the settings are the same list, and its values are the defaults."""

import re
from pathlib import Path

import pytest

from config import PREFIX, Settings
from tests.code.tree import ROOT

EXAMPLE = ROOT / ".env.example"
LINE = re.compile(r"^#?\s?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)


def documented(text: str) -> list[str]:
    """Names that a `.env` sets, also where the line is commented out."""
    return [name for name, _ in LINE.findall(text)]


def uncommented(text: str) -> str:
    return LINE.sub(r"\1=\2", text)


def uncommented_settings(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> Settings:
    """What the file means with every line switched on. Development, because a server demands a secret of its own."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)
    env = folder / ".env"
    env.write_text(text)
    monkeypatch.chdir(folder)
    return Settings(env="dev")


def test_every_setting_is_documented_and_nothing_else_is() -> None:
    assert sorted(documented(EXAMPLE.read_text())) == sorted(
        f"{PREFIX}{name.upper()}" for name in Settings.model_fields
    )


def test_every_setting_has_a_comment_above_it() -> None:
    lines = EXAMPLE.read_text().splitlines()
    bare = [line for above, line in zip(["", *lines], lines, strict=False) if LINE.match(line) and above[:2] != "# "]
    assert bare == []


def test_a_copy_of_the_example_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    defaults = uncommented_settings(monkeypatch, tmp_path, "")
    assert uncommented_settings(monkeypatch, tmp_path, EXAMPLE.read_text()) == defaults


def test_the_documented_values_are_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    defaults = uncommented_settings(monkeypatch, tmp_path, "")
    assert uncommented_settings(monkeypatch, tmp_path, uncommented(EXAMPLE.read_text())) == defaults


def test_a_value_that_is_not_the_default_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    defaults = uncommented_settings(monkeypatch, tmp_path, "")
    assert uncommented_settings(monkeypatch, tmp_path, uncommented("#TOCSIN_API_PORT=8001")) != defaults


def test_names_are_found_in_lines_that_are_commented_out() -> None:
    text = "# The port, in words.\n#TOCSIN_API_PORT=8000\nTOCSIN_ENV=dev\n"
    assert documented(text) == ["TOCSIN_API_PORT", "TOCSIN_ENV"]
    assert uncommented(text) == "# The port, in words.\nTOCSIN_API_PORT=8000\nTOCSIN_ENV=dev\n"
