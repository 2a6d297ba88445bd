"""Providers of installed packages: found by their entry point, refused with a reason."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config_sources import InvalidSettings
from providers.base import Provider
from providers.registry import PROVIDERS, available_providers

MODULE = """
from domain.channels import Channel
from providers.base import Provider


class Acme(Provider):
    name = "acme"
    channels = frozenset({Channel.SMS})
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages with the module `acme_tocsin`."""
    (tmp_path / "acme_tocsin.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    available_providers.cache_clear()
    yield tmp_path
    available_providers.cache_clear()
    sys.modules.pop("acme_tocsin", None)


def install(packages: Path, entry_point: str) -> None:
    info = packages / "acme_tocsin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tocsin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tocsin.providers]\n{entry_point}\n")


def test_a_provider_of_an_installed_package_is_available(packages: Path) -> None:
    install(packages, "acme = acme_tocsin:Acme")
    provider = available_providers()["acme"]
    assert issubclass(provider, Provider)
    assert set(available_providers()) == {*PROVIDERS, "acme"}


@pytest.mark.parametrize(
    ("entry_point", "problem"),
    [
        ("twilio = acme_tocsin:Acme", "has the name of a provider of Tocsin"),
        ("acme = acme_tocsin:Missing", "cannot be loaded"),
        ("acme = missing_tocsin:Acme", "cannot be loaded"),
        ("other = acme_tocsin:Acme", "whose `name` is other"),
        ("acme = acme_tocsin:Channel", "must be a subclass"),
    ],
)
def test_a_bad_entry_point_is_refused_with_its_package(packages: Path, entry_point: str, problem: str) -> None:
    install(packages, entry_point)
    with pytest.raises(InvalidSettings, match=problem) as caught:
        available_providers()
    assert "acme-tocsin" in str(caught.value)
