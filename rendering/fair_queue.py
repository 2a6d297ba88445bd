"""Choose the next item round-robin over tenants, with a limit for each tenant. Pure; used by `pool`."""

from collections import Counter, OrderedDict, deque
from typing import Generic, TypeVar
from uuid import UUID

Item = TypeVar("Item")
# None: calls of the installation itself.
TenantId = UUID | None


class RenderQueueFull(Exception):
    """Signal that too many calls are waiting, most of them of this tenant. The call had no effect and can be
    repeated.
    """


class FairQueue(Generic[Item]):
    """Queue items per tenant. `share` is the most slots of one tenant; `waiting` is the most waiting items in total."""

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
        """Remove and return the newest item of the tenant with the most, if too many wait. `latest` wins a tie."""
        if self.waiting <= self._limit:
            return None
        busiest_tenant = max(self._waiting, key=lambda each: (len(self._waiting[each]), each == latest))
        item = self._waiting[busiest_tenant][-1]
        self.remove(busiest_tenant, item)
        return item

    def remove(self, tenant: TenantId, item: Item) -> None:
        """Remove an item that has not been dequeued."""
        items = self._waiting[tenant]
        items.remove(item)
        if not items:
            del self._waiting[tenant]

    def dequeue(self) -> Item | None:
        """Return the next item. Its tenant occupies one more slot until `release`."""
        tenant = next((each for each in self._waiting if self._occupied[each] < self._slots_per_tenant), ...)
        if tenant is ...:
            return None
        items = self._waiting.pop(tenant)
        item = items.popleft()
        if items:
            self._waiting[tenant] = items  # behind the other tenants
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
