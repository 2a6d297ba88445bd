"""Select the providers of a test of the contract, and their deadlines."""

import pytest

from providers.registry import PROVIDERS
from tests.providers.harness import Bench, ContractCase
from tests.providers.harnesses import HARNESSES


def for_providers_with(*cases: ContractCase) -> pytest.MarkDecorator:
    """Parametrize over every provider whose harness does not exclude the cases."""
    able = [name for name in PROVIDERS if name in HARNESSES and not set(cases) & set(HARNESSES[name].without)]
    return pytest.mark.parametrize("bench", able, indirect=True)


def set_deadline(bench: Bench, case: ContractCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a short deadline for vendors that never respond. All others get the time that they need on a slow machine."""
    monkeypatch.setattr(
        type(bench.provider), "deadline", 0.5 if case in (ContractCase.HANGS, ContractCase.DRIPS) else 60.0
    )
