"""Test the rate of a provider's task queue: an operator's limit, the settings, or none."""

import pytest

from domain.rates import NO_RATE_LIMITS, UNLIMITED_RATE, ProviderRateLimits, queue_rate_limits


@pytest.mark.parametrize(
    ("limits", "setting", "rate", "tenant_rate"),
    [
        (NO_RATE_LIMITS, 0, None, None),
        (NO_RATE_LIMITS, 50, 50, None),
        (ProviderRateLimits(rate=20), 50, 20, None),
        (ProviderRateLimits(rate=20), 0, 20, None),
        (ProviderRateLimits(rate=0), 50, UNLIMITED_RATE, None),
        (ProviderRateLimits(rate=0), 0, UNLIMITED_RATE, None),
        (ProviderRateLimits(tenant_rate=5), 50, 50, 5),
        (ProviderRateLimits(tenant_rate=0), 0, None, None),
    ],
)
def test_an_operators_limit_overrides_the_settings(
    limits: ProviderRateLimits, setting: float, rate: float | None, tenant_rate: float | None
) -> None:
    assert queue_rate_limits(limits, setting, lifted=False) == ProviderRateLimits(rate=rate, tenant_rate=tenant_rate)


@pytest.mark.parametrize(
    ("limits", "setting", "rate"),
    [
        (NO_RATE_LIMITS, 0, None),
        (NO_RATE_LIMITS, 50, UNLIMITED_RATE),
        (ProviderRateLimits(rate=20, tenant_rate=5), 0, UNLIMITED_RATE),
    ],
)
def test_while_nothing_goes_there_no_limit_holds(
    limits: ProviderRateLimits, setting: float, rate: float | None
) -> None:
    assert queue_rate_limits(limits, setting, lifted=True) == ProviderRateLimits(rate=rate)


@pytest.mark.parametrize(
    ("limits", "setting", "shown"),
    [
        (NO_RATE_LIMITS, 0, NO_RATE_LIMITS),
        (NO_RATE_LIMITS, 50, ProviderRateLimits(rate=50)),
        (ProviderRateLimits(rate=0, tenant_rate=0), 50, NO_RATE_LIMITS),
        (ProviderRateLimits(rate=20, tenant_rate=5), 50, ProviderRateLimits(rate=20, tenant_rate=5)),
    ],
)
def test_the_rate_in_force_is_shown_or_null_without_a_limit(
    limits: ProviderRateLimits, setting: float, shown: ProviderRateLimits
) -> None:
    assert limits.effective(setting) == shown
