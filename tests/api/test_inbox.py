"""Test pages, counts and marks of the inbox by API key."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from api.routes import inbox as routes
from domain.clock import now
from models.inbox import InboxMessage
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant
from tests.storage.recipient_histories import recipient_with_history

pytestmark = pytest.mark.postgres


async def messages(api_tenant: ApiTenant, count: int) -> list[str]:
    """Insert messages and return their ids, newest first. The oldest has the greatest id; the others have the same
    time."""
    known = await recipient_with_history(api_tenant.database, api_tenant.tenant, f"writer-{uuid4()}")
    oldest, *others = sorted((uuid4() for _ in range(count)), reverse=True)
    time = now()
    rows = [
        InboxMessage(
            id=id,
            tenant=api_tenant.tenant,
            recipient_id=api_tenant.recipient_id,
            notification_id=known.notification_id,
            content={"title": "Shipped", "body": "Hello"},
            created_at=time - timedelta(hours=1) if id == oldest else time,
        )
        for id in (oldest, *others)
    ]
    async with api_tenant.database.transaction() as session:
        session.add_all(rows)
    return [str(id) for id in (*others, oldest)]


async def listed(api_tenant: ApiTenant, **query: str | int) -> list[str]:
    response = await api_tenant.http.get("/inbox", params={"recipient_id": api_tenant.recipient_id, **query})
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


async def unread(api_tenant: ApiTenant) -> int:
    count: int = (
        await api_tenant.http.get("/inbox", params={"recipient_id": api_tenant.recipient_id, "limit": 1})
    ).json()["unread"]
    return count


async def test_an_item_shows_its_content_and_its_events(api_tenant: ApiTenant) -> None:
    (id,) = await messages(api_tenant, 1)
    page = (await api_tenant.http.get("/inbox", params={"recipient_id": api_tenant.recipient_id})).json()
    (item,) = page["items"]
    assert UUID(item["notification_id"])
    assert {**item, "notification_id": "", "created_at": ""} == {
        "id": id,
        "recipient_id": api_tenant.recipient_id,
        "notification_id": "",
        "content": {"title": "Shipped", "body": "Hello"},
        "created_at": "",
        "seen_at": None,
        "read_at": None,
        "archived_at": None,
    }
    assert (page["unread"], page["next_cursor"]) == (1, None)


async def test_pages_show_each_message_once_and_the_newest_first(api_tenant: ApiTenant) -> None:
    expected = await messages(api_tenant, 7)
    found: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        response = await api_tenant.http.get(
            "/inbox", params={"recipient_id": api_tenant.recipient_id, "limit": 3, **cursor}
        )
        page = response.json()
        assert page["unread"] == 7
        found += [item["id"] for item in page["items"]]
        cursor = {"cursor": page["next_cursor"]}
    assert found == expected
    assert cursor == {"cursor": None}


async def test_reading_a_message_means_it_was_seen_and_the_first_time_counts(api_tenant: ApiTenant) -> None:
    id, *_ = await messages(api_tenant, 2)
    first = await api_tenant.http.post(f"/inbox/{id}/read")
    assert first.status_code == 200
    assert first.json()["read_at"] is not None
    assert first.json()["seen_at"] == first.json()["read_at"]
    assert (await api_tenant.http.post(f"/inbox/{id}/read")).json() == first.json()
    assert await unread(api_tenant) == 1


async def test_seeing_a_message_is_not_reading_it(api_tenant: ApiTenant) -> None:
    (id,) = await messages(api_tenant, 1)
    seen = (await api_tenant.http.post(f"/inbox/{id}/seen")).json()
    assert seen["seen_at"] is not None
    assert seen["read_at"] is None
    assert await unread(api_tenant) == 1


async def test_an_archived_message_leaves_the_list_and_the_count(api_tenant: ApiTenant) -> None:
    first, second = await messages(api_tenant, 2)
    assert (await api_tenant.http.post(f"/inbox/{first}/archive")).json()["archived_at"] is not None
    assert await listed(api_tenant) == [second]
    assert await listed(api_tenant, archived="true") == [first]
    assert await unread(api_tenant) == 1


async def test_read_all_marks_only_items_of_the_recipient(api_tenant: ApiTenant) -> None:
    await messages(api_tenant, 3)
    other = f"{api_tenant.recipient_id}-2"
    assert (await api_tenant.http.post("/inbox/read-all", params={"recipient_id": other})).json() == {"marked": 0}
    assert await unread(api_tenant) == 3
    assert (await api_tenant.http.post("/inbox/read-all", params={"recipient_id": api_tenant.recipient_id})).json() == {
        "marked": 3
    }
    assert (await api_tenant.http.post("/inbox/read-all", params={"recipient_id": api_tenant.recipient_id})).json() == {
        "marked": 0
    }
    assert await unread(api_tenant) == 0


async def test_all_are_read_in_batches_and_not_more_than_one_call_may(
    api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "READ_BATCH_SIZE", 2)
    monkeypatch.setattr(routes, "MAX_MARKED_READ", 4)
    await messages(api_tenant, 7)
    marked = [
        (await api_tenant.http.post("/inbox/read-all", params={"recipient_id": api_tenant.recipient_id})).json()
        for _ in range(3)
    ]
    assert (marked, await unread(api_tenant)) == ([{"marked": 4}, {"marked": 3}, {"marked": 0}], 0)


@pytest.mark.parametrize("id", ["0f9619ff-8b86-4d01-b42d-00cf4fc964ff", "not-an-id"])
async def test_an_unknown_message_is_not_found(api_tenant: ApiTenant, id: str) -> None:
    assert (await api_tenant.http.post(f"/inbox/{id}/read")).status_code == 404


async def test_an_inbox_belongs_to_one_recipient(api_tenant: ApiTenant) -> None:
    assert list(validation_errors(await api_tenant.http.get("/inbox"))) == ["recipient_id"]
    assert list(validation_errors(await api_tenant.http.post("/inbox/read-all"))) == ["recipient_id"]


@pytest.mark.parametrize("cursor", ["x", "MjAyNi0xMS0yMlQxNjowNTowMA", "AAAA"])
async def test_a_strange_cursor_is_refused(api_tenant: ApiTenant, cursor: str) -> None:
    response = await api_tenant.http.get("/inbox", params={"recipient_id": api_tenant.recipient_id, "cursor": cursor})
    assert list(validation_errors(response)) == ["cursor"]
