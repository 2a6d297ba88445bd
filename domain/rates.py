"""How many calls a provider gets: what the settings say, unless an operator has said otherwise meanwhile."""

from dataclasses import dataclass

# Calls per second, told where no limit is wanted. Of none is told, a worker's own setting would stand.
UNLIMITED_RATE = 100_000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderRateLimits:
    """Calls per second of all tenants together, and of each. 0 is no limit; None leaves it to the settings, which know
    none for a tenant."""

    rate: float | None = None
    tenant_rate: float | None = None

    def effective(self, setting: float) -> "ProviderRateLimits":
        """Those in force; None is no limit."""
        rate = setting if self.rate is None else self.rate
        return ProviderRateLimits(rate=rate or None, tenant_rate=self.tenant_rate or None)

    @property
    def is_limited(self) -> bool:
        return bool(self.rate or self.tenant_rate)


NO_RATE_LIMITS = ProviderRateLimits()


def queue_rate_limits(limits: ProviderRateLimits, setting: float, *, lifted: bool) -> ProviderRateLimits:
    """What the task queue is told; None takes a limit away that was told before. The workers of a provider with a
    setting tell the queue their own, which then stands: no limit has to be said as a number. `lifted` lets what stands
    in the queue of a provider that is down go elsewhere."""
    wanted = NO_RATE_LIMITS if lifted else limits.effective(setting)
    unlimited = UNLIMITED_RATE if setting or limits.rate is not None else None
    return ProviderRateLimits(rate=wanted.rate or unlimited, tenant_rate=wanted.tenant_rate)
