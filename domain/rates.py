"""How many calls a provider gets: what the settings say, unless an operator has said otherwise meanwhile."""

from dataclasses import dataclass

# Calls per second, told where no limit is wanted. Of none is told, a worker's own setting would stand.
LIFTED = 100_000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Calls per second of all tenants together, and of each. 0 is no limit; None leaves it to the settings, which know
    none for a tenant."""

    rate: float | None = None
    tenant_rate: float | None = None

    def over(self, setting: float) -> "Limits":
        """Those in force; None is no limit."""
        rate = setting if self.rate is None else self.rate
        return Limits(rate=rate or None, tenant_rate=self.tenant_rate or None)

    @property
    def is_limited(self) -> bool:
        return bool(self.rate or self.tenant_rate)


UNSET = Limits()


def told(limits: Limits, setting: float, *, lifted: bool) -> Limits:
    """What the task queue is told; None takes a limit away that was told before. The workers of a provider with a
    setting tell the queue their own, which then stands: no limit has to be said as a number. `lifted` lets what stands
    in the queue of a provider that is down go elsewhere."""
    wanted = UNSET if lifted else limits.over(setting)
    unlimited = LIFTED if setting or limits.rate is not None else None
    return Limits(rate=wanted.rate or unlimited, tenant_rate=wanted.tenant_rate)
