"""Test that dead letters are grouped, filtered and paged over HTTP, and that listed ones can be redriven."""

from typing import Any

import pytest

from storage.database import Database
from tests.api.responses import validation_errors
from tests.api.test_notifications import accepted, ready
from tests.api.test_redrives import end, failed, many
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres


async def listed(api_tenant: ApiTenant, **wanted: Any) -> dict[str, Any]:
    response = await api_tenant.http.get("/failures", params=wanted)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


async def test_similar_failures_are_one_item(api_tenant: ApiTenant, database: Database) -> None:
    ids = await failed(api_tenant, database, 7, reason="sms: retries_exhausted: timeout")
    [item] = (await listed(api_tenant))["items"]
    shown = [(await api_tenant.http.get(f"/notifications/{id}")).json()["created_at"] for id in (ids[0], ids[-1])]
    assert item == {
        "notification_type": "t",
        "status": "FAILED",
        "channel": "sms",
        "reason": "retries_exhausted: timeout",
        "category": "unreachable",
        "count": 7,
        "oldest": shown[0],
        "newest": shown[1],
        "age": item["age"],
        "sample_ids": ids[:1:-1],
    }
    assert item["age"].endswith("s")


async def test_a_listed_failure_can_be_redriven_by_its_filter(api_tenant: ApiTenant, database: Database) -> None:
    ids = await failed(api_tenant, database, 3, reason="sms: retries_exhausted: timeout")
    await end(database, ids[:1], reason="sms: no_provider")
    found = next(item for item in (await listed(api_tenant))["items"] if item["count"] == 2)
    reason = f"{found['channel']}: {found['reason']}"
    wanted = {"notification_type": found["notification_type"], "failure_reason": reason}
    assert await many(api_tenant, filter=wanted) == {"matched": 2, "redriven": 2, "skipped": []}
    assert [item["reason"] for item in (await listed(api_tenant))["items"]] == ["no_provider"]


@pytest.mark.parametrize(
    ("wanted", "counts"),
    [
        ({}, [2, 1]),
        ({"status": "FAILED"}, [2]),
        ({"status": "IN_DOUBT"}, [1]),
        ({"notification_type": "t"}, [2, 1]),
        ({"notification_type": "u"}, []),
        ({"failure_reason": "sms: bounced"}, [2]),
        ({"recipient_id": "ada"}, [2, 1]),
        ({"recipient_id": "bob"}, []),
        ({"tag": "spring"}, []),
        ({"channel": "email"}, []),
        ({"created_before": "2026-01-01T00:00:00Z"}, []),
        ({"created_from": "2026-01-01T00:00:00Z"}, [2, 1]),
    ],
)
async def test_a_filter_holds(
    api_tenant: ApiTenant, database: Database, wanted: dict[str, str], counts: list[int]
) -> None:
    ids = await failed(api_tenant, database, 3)
    await end(database, ids[:1], "IN_DOUBT", "sms: outcome_unknown: timeout")
    assert [item["count"] for item in (await listed(api_tenant, **wanted))["items"]] == counts


async def test_a_successful_send_is_no_failure(api_tenant: ApiTenant, database: Database) -> None:
    await ready(api_tenant)
    ids = await accepted(api_tenant, 2)
    await end(database, ids[:1], "DELIVERED")
    assert await listed(api_tenant) == {"items": [], "next_cursor": None}


async def test_pages_have_each_group_once(api_tenant: ApiTenant, database: Database) -> None:
    ids = await failed(api_tenant, database, 5)
    for number, id in enumerate(ids):
        await end(database, [id], reason="sms: " + "abcde"[number])
    seen: list[str] = []
    page = await listed(api_tenant, limit=2)
    while True:
        seen += [item["reason"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        page = await listed(api_tenant, limit=2, cursor=page["next_cursor"])
    assert seen == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("wanted", "parameter"),
    [
        ({"status": "DELIVERED"}, "status"),
        ({"channel": "fax"}, "channel"),
        ({"cursor": "invented"}, "cursor"),
        ({"cursor": "eB94H3gfeA"}, "cursor"),
        ({"limit": "0"}, "limit"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    api_tenant: ApiTenant, wanted: dict[str, str], parameter: str
) -> None:
    assert set(validation_errors(await api_tenant.http.get("/failures", params=wanted))) == {parameter}
