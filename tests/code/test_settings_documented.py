"""Check that `.env.example` lists all settings with their defaults."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from config import Settings
from config.sources import PREFIX, ProviderSettings
from providers.registry import PROVIDERS
from tests.code.tree import ROOT

EXAMPLE = ROOT / ".env.example"
LINE = re.compile(r"^#?\s?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)


def documented(text: str) -> list[str]:
    """Return the names that a `.env` sets, also where the line is commented out."""
    return [name for name, _ in LINE.findall(text)]


def uncommented(text: str) -> str:
    return LINE.sub(r"\1=\2", text)


def uncommented_settings(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> Settings:
    """Return the settings with every line enabled. In development, because a server requires its own secret."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)
    env = folder / ".env"
    env.write_text(text)
    monkeypatch.chdir(folder)
    return Settings(env="dev")


def of_providers() -> dict[str, type[ProviderSettings]]:
    """Return `TOCSIN_SMTP_FROM` → the class that has it."""
    return {
        f"{PREFIX}{provider}_{field.alias or name}".upper(): cls.settings
        for provider, cls in PROVIDERS.items()
        for name, field in cls.settings.model_fields.items()
    }


def test_every_setting_is_documented_and_nothing_else_is() -> None:
    ours = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert sorted(documented(EXAMPLE.read_text())) == sorted(ours | set(of_providers()))


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_providers_settings_are_read_by_its_name(name: str) -> None:
    prefix = PROVIDERS[name].settings.model_config.get("env_prefix")
    assert prefix == f"{PREFIX}{name.upper()}_" or PROVIDERS[name].settings is ProviderSettings


def test_the_documented_values_are_the_providers_defaults() -> None:
    values = dict(LINE.findall(EXAMPLE.read_text()))
    for variable, settings in of_providers().items():
        fields = {f"{field.alias or name}".upper(): field for name, field in settings.model_fields.items()}
        [field] = [
            field for name, field in fields.items() if variable in (f"{PREFIX}{p.upper()}_{name}" for p in PROVIDERS)
        ]
        default = field.get_default()
        shown = default.get_secret_value() if isinstance(default, SecretStr) else default
        said = "" if field.is_required() or shown is None else str(shown)
        assert values[variable] == said.removesuffix(".0"), variable


def test_every_setting_has_a_comment_above_it() -> None:
    lines = EXAMPLE.read_text().splitlines()
    bare = [line for above, line in zip(["", *lines], lines, strict=False) if LINE.match(line) and above[:2] != "# "]
    assert bare == [], "write one comment line directly above each of these settings in .env.example"


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
