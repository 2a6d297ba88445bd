"""The inbox by API key: pages, counts and marks."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from api.routes import inbox as routes
from domain.clock import now
from models.inbox import InboxMessage
from tests.api.shops import Shop, faults
from tests.storage.histories import person_with_history

pytestmark = pytest.mark.postgres


async def messages(shop: Shop, count: int) -> list[str]:
    """Ids of new messages for `shop.person`, newest first: the oldest has the greatest id, the others one time."""
    known = await person_with_history(shop.database, shop.tenant, f"writer-{uuid4()}")
    oldest, *others = sorted((uuid4() for _ in range(count)), reverse=True)
    time = now()
    rows = [
        InboxMessage(
            id=id,
            tenant=shop.tenant,
            recipient_id=shop.person,
            notification_id=known.notification_id,
            content={"title": "Shipped", "body": "Hello"},
            created_at=time - timedelta(hours=1) if id == oldest else time,
        )
        for id in (oldest, *others)
    ]
    async with shop.database.transaction() as session:
        session.add_all(rows)
    return [str(id) for id in (*others, oldest)]


async def listed(shop: Shop, **query: str | int) -> list[str]:
    response = await shop.http.get("/inbox", params={"recipient_id": shop.person, **query})
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


async def unread(shop: Shop) -> int:
    count: int = (await shop.http.get("/inbox", params={"recipient_id": shop.person, "limit": 1})).json()["unread"]
    return count


async def test_an_item_shows_the_content_and_what_was_done_with_it(shop: Shop) -> None:
    (id,) = await messages(shop, 1)
    page = (await shop.http.get("/inbox", params={"recipient_id": shop.person})).json()
    (item,) = page["items"]
    assert UUID(item["notification_id"])
    assert {**item, "notification_id": "", "created_at": ""} == {
        "id": id,
        "recipient_id": shop.person,
        "notification_id": "",
        "content": {"title": "Shipped", "body": "Hello"},
        "created_at": "",
        "seen_at": None,
        "read_at": None,
        "archived_at": None,
    }
    assert (page["unread"], page["next_cursor"]) == (1, None)


async def test_pages_show_each_message_once_and_the_newest_first(shop: Shop) -> None:
    expected = await messages(shop, 7)
    found: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        response = await shop.http.get("/inbox", params={"recipient_id": shop.person, "limit": 3, **cursor})
        page = response.json()
        assert page["unread"] == 7
        found += [item["id"] for item in page["items"]]
        cursor = {"cursor": page["next_cursor"]}
    assert found == expected
    assert cursor == {"cursor": None}


async def test_reading_a_message_means_it_was_seen_and_the_first_time_counts(shop: Shop) -> None:
    id, *_ = await messages(shop, 2)
    first = await shop.http.post(f"/inbox/{id}/read")
    assert first.status_code == 200
    assert first.json()["read_at"] is not None
    assert first.json()["seen_at"] == first.json()["read_at"]
    assert (await shop.http.post(f"/inbox/{id}/read")).json() == first.json()
    assert await unread(shop) == 1


async def test_seeing_a_message_is_not_reading_it(shop: Shop) -> None:
    (id,) = await messages(shop, 1)
    seen = (await shop.http.post(f"/inbox/{id}/seen")).json()
    assert seen["seen_at"] is not None
    assert seen["read_at"] is None
    assert await unread(shop) == 1


async def test_an_archived_message_leaves_the_list_and_the_count(shop: Shop) -> None:
    first, second = await messages(shop, 2)
    assert (await shop.http.post(f"/inbox/{first}/archive")).json()["archived_at"] is not None
    assert await listed(shop) == [second]
    assert await listed(shop, archived="true") == [first]
    assert await unread(shop) == 1


async def test_all_are_read_at_once_and_only_those_of_the_person(shop: Shop) -> None:
    await messages(shop, 3)
    someone = f"{shop.person}-2"
    assert (await shop.http.post("/inbox/read-all", params={"recipient_id": someone})).json() == {"marked": 0}
    assert await unread(shop) == 3
    assert (await shop.http.post("/inbox/read-all", params={"recipient_id": shop.person})).json() == {"marked": 3}
    assert (await shop.http.post("/inbox/read-all", params={"recipient_id": shop.person})).json() == {"marked": 0}
    assert await unread(shop) == 0


async def test_all_are_read_in_batches_and_not_more_than_one_call_may(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "READ_AT_ONCE", 2)
    monkeypatch.setattr(routes, "MOST_READ", 4)
    await messages(shop, 7)
    marked = [(await shop.http.post("/inbox/read-all", params={"recipient_id": shop.person})).json() for _ in range(3)]
    assert (marked, await unread(shop)) == ([{"marked": 4}, {"marked": 3}, {"marked": 0}], 0)


@pytest.mark.parametrize("id", ["0f9619ff-8b86-4d01-b42d-00cf4fc964ff", "not-an-id"])
async def test_an_unknown_message_is_not_found(shop: Shop, id: str) -> None:
    assert (await shop.http.post(f"/inbox/{id}/read")).status_code == 404


async def test_an_inbox_belongs_to_somebody(shop: Shop) -> None:
    assert list(faults(await shop.http.get("/inbox"))) == ["recipient_id"]
    assert list(faults(await shop.http.post("/inbox/read-all"))) == ["recipient_id"]


@pytest.mark.parametrize("cursor", ["x", "MjAyNi0xMS0yMlQxNjowNTowMA", "AAAA"])
async def test_a_strange_cursor_is_refused(shop: Shop, cursor: str) -> None:
    response = await shop.http.get("/inbox", params={"recipient_id": shop.person, "cursor": cursor})
    assert list(faults(response)) == ["cursor"]
