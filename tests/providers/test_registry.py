"""Providers of installed packages: found by their entry point, refused with a reason."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.sources import InvalidSettings
from providers.base import Provider
from providers.registry import PROVIDERS, available_providers

MODULE = """
from domain.channels import Channel
from providers.base import Provider


class Zephyr(Provider):
    name = "zephyr"
    channels = frozenset({Channel.SMS})
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages with the module `zephyr_tocsin`."""
    (tmp_path / "zephyr_tocsin.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    available_providers.cache_clear()
    yield tmp_path
    available_providers.cache_clear()
    sys.modules.pop("zephyr_tocsin", None)


def install(packages: Path, entry_point: str) -> None:
    info = packages / "zephyr_tocsin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zephyr-tocsin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tocsin.providers]\n{entry_point}\n")


def test_a_provider_of_an_installed_package_is_available(packages: Path) -> None:
    install(packages, "zephyr = zephyr_tocsin:Zephyr")
    provider = available_providers()["zephyr"]
    assert issubclass(provider, Provider)
    assert set(available_providers()) == {*PROVIDERS, "zephyr"}


@pytest.mark.parametrize(
    ("entry_point", "problem"),
    [
        ("twilio = zephyr_tocsin:Zephyr", "has the name of a provider of Tocsin"),
        ("zephyr = zephyr_tocsin:Missing", "cannot be loaded"),
        ("zephyr = missing_tocsin:Zephyr", "cannot be loaded"),
        ("other = zephyr_tocsin:Zephyr", "whose `name` is other"),
        ("zephyr = zephyr_tocsin:Channel", "must be a subclass"),
    ],
)
def test_a_bad_entry_point_is_refused_with_its_package(packages: Path, entry_point: str, problem: str) -> None:
    install(packages, entry_point)
    with pytest.raises(InvalidSettings, match=problem) as caught:
        available_providers()
    assert "zephyr-tocsin" in str(caught.value)
