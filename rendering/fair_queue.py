"""Decides whose item is taken next: round-robin over tenants, with a cap for each tenant. Pure; used by `pool`."""

from collections import Counter, OrderedDict, deque
from typing import Generic, TypeVar
from uuid import UUID

Item = TypeVar("Item")
# None: the installation's own calls.
TenantId = UUID | None


class RenderQueueFull(Exception):
    """Too many calls are waiting, most of them this tenant's. The call has done nothing, so it can be repeated."""


class FairQueue(Generic[Item]):
    """`share` is how many slots a tenant may occupy, `waiting` how many items may wait in all."""

    def __init__(self, *, slots_per_tenant: int, waiting: int) -> None:
        self._slots_per_tenant = slots_per_tenant
        self._limit = waiting
        self._waiting: OrderedDict[TenantId, deque[Item]] = OrderedDict()
        self._occupied: Counter[TenantId] = Counter()

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def enqueue(self, tenant: TenantId, item: Item) -> None:
        self._waiting.setdefault(tenant, deque()).append(item)

    def remove_surplus(self, latest: TenantId) -> Item | None:
        """Remove and return the newest item of the tenant with the most, if too many wait; of equals, of `latest`."""
        if self.waiting <= self._limit:
            return None
        busiest_tenant = max(self._waiting, key=lambda each: (len(self._waiting[each]), each == latest))
        item = self._waiting[busiest_tenant][-1]
        self.remove(busiest_tenant, item)
        return item

    def remove(self, tenant: TenantId, item: Item) -> None:
        """Remove an item that has not been taken."""
        items = self._waiting[tenant]
        items.remove(item)
        if not items:
            del self._waiting[tenant]

    def dequeue(self) -> Item | None:
        """Return the next item; its tenant occupies one slot more until `release`."""
        tenant = next((each for each in self._waiting if self._occupied[each] < self._slots_per_tenant), ...)
        if tenant is ...:
            return None
        items = self._waiting.pop(tenant)
        item = items.popleft()
        if items:
            self._waiting[tenant] = items  # behind the others
        self._occupied[tenant] += 1
        return item

    def release(self, tenant: TenantId) -> None:
        self._occupied[tenant] -= 1
        if not self._occupied[tenant]:
            del self._occupied[tenant]

    def drain(self) -> list[Item]:
        items = [item for each in self._waiting.values() for item in each]
        self._waiting.clear()
        return items
