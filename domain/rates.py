"""Combine the rate limits of the settings with those that operators set at run time."""

from dataclasses import dataclass

# Calls per second that mean no limit. Without a number a worker's own setting would apply.
UNLIMITED_RATE = 100_000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderRateLimits:
    """Limit calls per second of all tenants together, and of each tenant. 0 is no limit. None uses the settings, which
    have no limit per tenant."""

    rate: float | None = None
    tenant_rate: float | None = None

    def effective(self, setting: float) -> "ProviderRateLimits":
        """Return the limits in force; None is no limit."""
        rate = setting if self.rate is None else self.rate
        return ProviderRateLimits(rate=rate or None, tenant_rate=self.tenant_rate or None)

    @property
    def is_limited(self) -> bool:
        return bool(self.rate or self.tenant_rate)


NO_RATE_LIMITS = ProviderRateLimits()


def queue_rate_limits(limits: ProviderRateLimits, setting: float, *, lifted: bool) -> ProviderRateLimits:
    """Return the limits for the task queue; None removes an earlier limit. With a setting, the provider's workers
    set their own limit on the queue, so that "no limit" must be a number. `lifted` removes the limit of a provider
    that is down, so that its queued calls can be rerouted."""
    wanted = NO_RATE_LIMITS if lifted else limits.effective(setting)
    unlimited = UNLIMITED_RATE if setting or limits.rate is not None else None
    return ProviderRateLimits(rate=wanted.rate or unlimited, tenant_rate=wanted.tenant_rate)
