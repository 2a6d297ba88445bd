from uuid import UUID

from rendering.fair_queue import FairQueue

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)


def queue(share: int = 1, waiting: int = 9) -> FairQueue[str]:
    return FairQueue(slots_per_tenant=share, waiting=waiting)


def fill(fair: FairQueue[str], *items: tuple[UUID | None, str]) -> None:
    for tenant, item in items:
        fair.enqueue(tenant, item)


def add_item(fair: FairQueue[str], tenant: UUID, item: str) -> str | None:
    """Return the item that was removed."""
    fair.enqueue(tenant, item)
    return fair.remove_surplus(tenant)


def drain_items(fair: FairQueue[str], tenants: dict[str, UUID]) -> list[str]:
    """Return the items in the order in which one slot serves them."""
    served = []
    while (item := fair.dequeue()) is not None:
        served.append(item)
        fair.release(tenants[item[0]])
    return served


def test_tenants_are_served_round_robin() -> None:
    fair = queue()
    fill(fair, (A, "a1"), (A, "a2"), (A, "a3"), (B, "b1"), (B, "b2"), (C, "c1"))
    assert drain_items(fair, {"a": A, "b": B, "c": C}) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_tenant_occupies_no_more_than_its_share() -> None:
    fair = queue(share=2)
    fill(fair, (A, "a1"), (A, "a2"), (A, "a3"), (None, "n1"))
    assert [fair.dequeue() for _ in range(4)] == ["a1", "n1", "a2", None]
    fair.release(A)
    assert fair.dequeue() == "a3"


def test_a_served_tenant_waits_behind_a_later_tenant() -> None:
    fair = queue(share=2)
    fill(fair, (A, "a1"), (A, "a2"))
    assert fair.dequeue() == "a1"
    fair.enqueue(B, "b1")
    assert [fair.dequeue(), fair.dequeue()] == ["a2", "b1"]
    fill(fair, (A, "a3"), (B, "b2"))
    fair.release(A)
    assert fair.dequeue() == "a3"


def test_a_full_queue_drops_the_newest_item_of_the_largest_tenant() -> None:
    fair = queue(waiting=3)
    fill(fair, (A, "a1"), (A, "a2"), (A, "a3"))
    assert add_item(fair, A, "a4") == "a4"
    assert add_item(fair, B, "b1") == "a3"
    assert add_item(fair, C, "c1") == "a2"
    assert add_item(fair, C, "c2") == "c2"
    assert fair.dequeue() == "a1"
    assert add_item(fair, A, "a5") is None


def test_in_a_queue_full_of_single_items_the_newest_is_refused() -> None:
    fair = queue(waiting=2)
    fill(fair, (A, "a1"), (B, "b1"))
    assert add_item(fair, C, "c1") == "c1"
    assert drain_items(fair, {"a": A, "b": B}) == ["a1", "b1"]


def test_a_removed_item_is_not_served() -> None:
    fair = queue()
    fill(fair, (A, "a1"), (A, "a2"), (B, "b1"))
    fair.remove(A, "a1")
    fair.remove(B, "b1")
    assert drain_items(fair, {"a": A}) == ["a2"]


def test_draining_returns_all_that_wait() -> None:
    fair = queue()
    fill(fair, (A, "a1"), (B, "b1"), (A, "a2"))
    assert fair.drain() == ["a1", "a2", "b1"]
    assert fair.dequeue() is None
