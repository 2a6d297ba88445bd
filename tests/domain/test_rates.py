"""What a provider's task queue is told: an operator's word over the settings, and nothing where nobody limits."""

import pytest

from domain.rates import LIFTED, UNSET, Limits, told


@pytest.mark.parametrize(
    ("limits", "setting", "rate", "tenant_rate"),
    [
        (UNSET, 0, None, None),
        (UNSET, 50, 50, None),
        (Limits(rate=20), 50, 20, None),
        (Limits(rate=20), 0, 20, None),
        (Limits(rate=0), 50, LIFTED, None),
        (Limits(rate=0), 0, LIFTED, None),
        (Limits(tenant_rate=5), 50, 50, 5),
        (Limits(tenant_rate=0), 0, None, None),
    ],
)
def test_an_operators_word_stands_over_the_settings(
    limits: Limits, setting: float, rate: float | None, tenant_rate: float | None
) -> None:
    assert told(limits, setting, lifted=False) == Limits(rate=rate, tenant_rate=tenant_rate)


@pytest.mark.parametrize(
    ("limits", "setting", "rate"),
    [(UNSET, 0, None), (UNSET, 50, LIFTED), (Limits(rate=20, tenant_rate=5), 0, LIFTED)],
)
def test_while_nothing_goes_there_no_limit_holds(limits: Limits, setting: float, rate: float | None) -> None:
    assert told(limits, setting, lifted=True) == Limits(rate=rate)


@pytest.mark.parametrize(
    ("limits", "setting", "shown"),
    [
        (UNSET, 0, UNSET),
        (UNSET, 50, Limits(rate=50)),
        (Limits(rate=0, tenant_rate=0), 50, UNSET),
        (Limits(rate=20, tenant_rate=5), 50, Limits(rate=20, tenant_rate=5)),
    ],
)
def test_what_is_in_force_is_shown_with_none_for_no_limit(limits: Limits, setting: float, shown: Limits) -> None:
    assert limits.over(setting) == shown
