"""Who is served next: the tenants in turn, none with more than its share at a time. Pure; used by `pool`."""

from collections import Counter, OrderedDict, deque
from typing import Generic, TypeVar
from uuid import UUID

Item = TypeVar("Item")
# None: the installation's own calls.
Tenant = UUID | None


class TooManyWaiting(Exception):
    """The tenant has as many calls waiting as it may; raised before the call does anything, so it can be repeated."""


class FairQueue(Generic[Item]):
    """`share` is how many slots a tenant may occupy, `waiting` how many of its items may wait."""

    def __init__(self, *, share: int, waiting: int) -> None:
        self._share = share
        self._limit = waiting
        self._waiting: OrderedDict[Tenant, deque[Item]] = OrderedDict()
        self._occupied: Counter[Tenant] = Counter()

    def add(self, tenant: Tenant, item: Item) -> None:
        items = self._waiting.get(tenant, deque())
        if len(items) >= self._limit:
            raise TooManyWaiting
        items.append(item)
        self._waiting[tenant] = items

    def remove(self, tenant: Tenant, item: Item) -> None:
        """An item that nobody waits for any more; it has not been taken."""
        items = self._waiting[tenant]
        items.remove(item)
        if not items:
            del self._waiting[tenant]

    def take(self) -> Item | None:
        """The next item; its tenant occupies one slot more until `release`."""
        tenant = next((each for each in self._waiting if self._occupied[each] < self._share), ...)
        if tenant is ...:
            return None
        items = self._waiting.pop(tenant)
        item = items.popleft()
        if items:
            self._waiting[tenant] = items  # behind the others
        self._occupied[tenant] += 1
        return item

    def release(self, tenant: Tenant) -> None:
        self._occupied[tenant] -= 1
        if not self._occupied[tenant]:
            del self._occupied[tenant]

    def drain(self) -> list[Item]:
        items = [item for each in self._waiting.values() for item in each]
        self._waiting.clear()
        return items
