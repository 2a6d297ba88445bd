"""Test that the messages to an event endpoint are listed with their attempts, tested and replayed."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.api.event_endpoints import PATH, made, messages
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres


async def waits(api_tenant: ApiTenant) -> list[tuple[UUID, float]]:
    """Return id and seconds until the attempt of each queued replay, in order."""
    statement = text("""
        SELECT id, extract(epoch FROM next_attempt_at - now())::float8 AS wait FROM event_message
         WHERE tenant = :tenant AND replayed_at IS NOT NULL AND attempt_count = 0 ORDER BY next_attempt_at
    """)
    async with api_tenant.database.transaction() as session:
        return [(row.id, row.wait) for row in await session.execute(statement, {"tenant": api_tenant.tenant})]


async def test_attempts_are_shown_newest_first_and_filtered_by_outcome(api_tenant: ApiTenant) -> None:
    await made(api_tenant)
    failed, delivered, waiting, failed_too = map(
        str, await messages(api_tenant, "failed", "delivered", "waiting", "failed")
    )
    items = (await api_tenant.http.get(f"{PATH}/attempts")).json()["items"]
    assert [item["id"] for item in items] == [failed_too, waiting, delivered, failed]
    assert [item["status"] for item in items] == ["failed", "waiting", "delivered", "failed"]
    assert items[0] | {"notification_id": None, "occurred_at": None} == {
        "id": failed_too,
        "type": "notification.failed",
        "notification_id": None,
        "status": "failed",
        "occurred_at": None,
        "attempt_count": 8,
        "next_attempt_at": None,
        "delivered_at": None,
        "replayed_at": None,
        "last_status": None,
        "last_error": "status_500",
        "attempts": [{"at": "2026-03-01T09:30:00Z", "status": 500, "ms": 12, "error": "status_500"}],
    }
    for status, expected in {"failed": [failed_too, failed], "waiting": [waiting], "delivered": [delivered]}.items():
        items = (await api_tenant.http.get(f"{PATH}/attempts?status={status}")).json()["items"]
        assert [item["id"] for item in items] == expected
    assert (await api_tenant.http.get(f"{PATH}/attempts?status=lost")).status_code == 422


async def test_attempts_are_paged(api_tenant: ApiTenant) -> None:
    await made(api_tenant)
    ids = [str(id) for id in await messages(api_tenant, *["failed"] * 5)]
    seen: list[str] = []
    more: dict[str, str] = {}
    while len(seen) < 5:
        params = {"limit": "2", "status": "failed", **more}
        response = (await api_tenant.http.get(f"{PATH}/attempts", params=params)).json()
        seen += [item["id"] for item in response["items"]]
        more = {"cursor": response["next_cursor"]}
    assert seen == ids[::-1]
    assert response["next_cursor"] is None


async def test_a_test_is_a_message_like_any(api_tenant: ApiTenant) -> None:
    await made(api_tenant, events=["notification.failed"])
    response = await api_tenant.http.post(f"{PATH}/test")
    assert response.status_code == 202
    [item] = (await api_tenant.http.get(f"{PATH}/attempts")).json()["items"]
    assert item["id"] == response.json()["message_id"]
    assert (item["type"], item["status"], item["notification_id"]) == ("endpoint.test", "waiting", None)


@pytest.mark.parametrize(("path", "body"), [("/test", None), ("/replay", {"since": "2026-01-01T00:00:00Z"})])
async def test_a_disabled_one_is_neither_tested_nor_replayed(api_tenant: ApiTenant, path: str, body: Any) -> None:
    await made(api_tenant, enabled=False)
    response = await api_tenant.http.post(PATH + path, json=body)
    assert (response.status_code, response.json()["detail"]) == (409, "The endpoint is disabled; enable it first.")
    assert (await api_tenant.http.get(f"{PATH}/attempts")).json()["items"] == []


@pytest.mark.parametrize("standing", ["failed", "delivered", "waiting"])
async def test_one_message_is_replayed_in_any_state(api_tenant: ApiTenant, standing: str) -> None:
    await made(api_tenant)
    first, _ = await messages(api_tenant, standing, "failed")
    response = await api_tenant.http.post(f"{PATH}/replay", json={"message_id": str(first)})
    assert (response.status_code, response.json()["replayed"]) == (202, 1)
    [(replayed, wait)] = await waits(api_tenant)
    assert replayed == first
    assert wait <= 0


async def test_failed_messages_since_a_time_are_replayed_oldest_first_and_paced(api_tenant: ApiTenant) -> None:
    await made(api_tenant)
    standings = ["failed", "failed", "delivered", "waiting", "failed", "failed"]
    ids = await messages(api_tenant, *standings)
    body = {"since": "2026-03-01T09:10:00Z", "until": "2026-03-01T09:50:00Z"}
    response = (await api_tenant.http.post(f"{PATH}/replay", json=body)).json()
    assert response == {"replayed": 2, "through": "2026-03-01T09:40:00Z", "more": False}
    line = await waits(api_tenant)
    assert [id for id, _ in line] == [ids[1], ids[4]]
    assert line[1][1] - line[0][1] == pytest.approx(0.05)


async def test_a_replay_of_all_includes_delivered_messages(api_tenant: ApiTenant) -> None:
    await made(api_tenant)
    ids = await messages(api_tenant, "failed", "delivered", "waiting")
    response = (
        await api_tenant.http.post(f"{PATH}/replay", json={"since": "2026-03-01T09:00:00Z", "all": True})
    ).json()
    assert response["replayed"] == 2
    assert [id for id, _ in await waits(api_tenant)] == ids[:2]


async def test_a_second_replay_stands_behind_the_first(api_tenant: ApiTenant) -> None:
    await made(api_tenant)
    first, second = await messages(api_tenant, "failed", "failed")
    await api_tenant.http.post(
        f"{PATH}/replay", json={"since": "2026-03-01T09:00:00Z", "until": "2026-03-01T09:05:00Z"}
    )
    async with api_tenant.database.transaction() as session:
        later = text("UPDATE event_message SET next_attempt_at = now() + interval '60 seconds' WHERE id = :id")
        await session.execute(later, {"id": first})
    await api_tenant.http.post(f"{PATH}/replay", json={"since": "2026-03-01T09:05:00Z"})
    line = await waits(api_tenant)
    assert [id for id, _ in line] == [first, second]
    assert line[1][1] - line[0][1] == pytest.approx(0.05)


async def test_old_tests_are_not_replayed_with_the_rest(api_tenant: ApiTenant) -> None:
    await made(api_tenant)
    await api_tenant.http.post(f"{PATH}/test")
    async with api_tenant.database.transaction() as session:
        over = text("UPDATE event_message SET next_attempt_at = NULL, given_up_at = now() WHERE tenant = :tenant")
        await session.execute(over, {"tenant": api_tenant.tenant})
    response = await api_tenant.http.post(f"{PATH}/replay", json={"since": "2026-01-01T00:00:00Z"})
    assert response.json()["replayed"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message_id": str(uuid4()), "since": "2026-03-01T09:00:00Z"},
        {"message_id": str(uuid4()), "all": True},
        {"until": "2026-03-01T09:00:00Z"},
    ],
)
async def test_a_replay_names_one_message_or_a_time(api_tenant: ApiTenant, body: Any) -> None:
    await made(api_tenant)
    assert list(validation_errors(await api_tenant.http.post(f"{PATH}/replay", json=body))) == [""]
