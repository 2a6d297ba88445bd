"""Test redrives over HTTP: answered from the rows, without Temporal and without a worker."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from bootstrap import Container
from domain.reasons import failures_to_json
from models.columns import new_id
from services.redriving import RedriveCommand, redrive_all
from storage.database import Database
from storage.notifications import NotificationFilter
from tests.api.responses import validation_errors
from tests.api.test_notifications import accepted, ready
from tests.api_tenants import ApiTenant
from tests.domain.reasons import parse_failures

pytestmark = pytest.mark.postgres


async def end(database: Database, ids: Sequence[str], status: str = "FAILED", reason: str = "sms: bounced") -> None:
    """End the notifications as a worker would."""
    statement = text(
        "WITH ended AS (DELETE FROM queue_entry WHERE notification_id = ANY(CAST(:ids AS uuid[])))"
        " UPDATE notification SET status = :status, failure_reason = :reason, finished_at = now(),"
        " failures = CAST(:failures AS jsonb)"
        " WHERE id = ANY(CAST(:ids AS uuid[]))"
    )
    async with database.transaction() as session:
        codes = json.dumps(failures_to_json(parse_failures(reason)))
        await session.execute(statement, {"status": status, "reason": reason, "failures": codes, "ids": ids})


async def failed(api_tenant: ApiTenant, database: Database, count: int, **more: str) -> list[str]:
    await ready(api_tenant)
    ids = await accepted(api_tenant, count)
    await end(database, ids, **more)
    return ids


async def many(api_tenant: ApiTenant, **body: Any) -> dict[str, Any]:
    response = await api_tenant.http.post("/notifications/redrive", json={"filter": {}, **body})
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()
    return result


async def starts(database: Database, ids: Sequence[str]) -> dict[str, float]:
    """Return by id, in order, the seconds from the first start to each."""
    statement = text(
        "SELECT notification_id, extract(epoch FROM next_at - min(next_at) OVER ()) FROM queue_entry"
        " WHERE notification_id = ANY(CAST(:ids AS uuid[])) AND state IN ('due', 'waiting') ORDER BY next_at"
    )
    async with database.transaction() as session:
        return {str(row[0]): float(row[1]) for row in await session.execute(statement, {"ids": ids})}


async def test_a_redriven_notification_is_due_without_temporal(api_tenant: ApiTenant, database: Database) -> None:
    [id] = await failed(api_tenant, database, 1)
    response = await api_tenant.http.post(f"/notifications/{id}/redrive")
    assert response.status_code == 200
    assert response.json() == {
        "id": id,
        "status": "PENDING",
        "generation": 2,
        "matched": 1,
        "redriven": 1,
        "skipped": [],
    }
    shown = (await api_tenant.http.get(f"/notifications/{id}")).json()
    assert (shown["status"], shown["finished_at"], shown["workflow_id"]) == ("PENDING", None, f"notification-{id}-2")
    [redriven_entry] = [entry for entry in shown["timeline"] if entry["kind"] == "redriven"]
    assert redriven_entry["detail"]["generation"] == 2
    assert len(redriven_entry["detail"]["key"]) == 36
    assert await starts(database, [id]) == {id: 0}
    [entry, *_] = (await api_tenant.http.get("/audit", params={"action": "notifications.redriven"})).json()["items"]
    assert (entry["subject"], entry["after"]) == (f"notification/{id}", {"redriven": 1, "force": False})


@pytest.mark.parametrize("body", [{}, {"force": True}, {"force": False}])
async def test_a_second_redrive_is_not_finished_and_changes_nothing(
    api_tenant: ApiTenant, database: Database, body: dict[str, bool]
) -> None:
    [id] = await failed(api_tenant, database, 1)
    await api_tenant.http.post(f"/notifications/{id}/redrive")
    response = (await api_tenant.http.post(f"/notifications/{id}/redrive", json=body)).json()
    assert (response["redriven"], response["generation"], response["status"]) == (0, 2, "PENDING")
    assert response["skipped"] == [{"id": id, "reason": "not_finished"}]


async def test_many_are_due_at_once(api_tenant: ApiTenant, database: Database) -> None:
    ids = await failed(api_tenant, database, 5)
    assert await many(api_tenant) == {"matched": 5, "redriven": 5, "skipped": []}
    [entry] = (await api_tenant.http.get("/audit", params={"action": "notifications.redriven"})).json()["items"]
    assert (entry["subject"], entry["after"]["redriven"]) == ("notifications", 5)
    assert await starts(database, ids) == dict.fromkeys(ids, 0)


async def test_redriven_notifications_are_due_at_the_resume_rate_most_urgent_first(
    api_tenant: ApiTenant, container: Container, database: Database
) -> None:
    ids = await failed(api_tenant, database, 5)
    async with database.transaction() as session:
        await session.execute(text("UPDATE notification SET priority = 1 WHERE id = :id"), {"id": ids[-1]})
    order = RedriveCommand(
        tenant=api_tenant.tenant, key_id=new_id(), key_name="test", force=False, max_redriven=5, rate=20
    )
    assert (
        await redrive_all(database, container.build_services().route_resolver, NotificationFilter(), order)
    ).redriven == 5
    urgent, *others = [ids[-1], *ids[:-1]]
    assert await starts(database, ids) == dict(zip([urgent, *others], [0, 0.05, 0.1, 0.15, 0.2], strict=True))


async def test_a_dry_run_changes_nothing_and_returns_the_same(api_tenant: ApiTenant, database: Database) -> None:
    ids = await failed(api_tenant, database, 3)
    await end(database, ids[:1], "IN_DOUBT")
    before = (await api_tenant.http.get("/notifications")).json()
    dry = await many(api_tenant, dry_run=True)
    assert dry == {"matched": 3, "redriven": 2, "skipped": [{"id": ids[0], "reason": "in_doubt"}]}
    assert (await api_tenant.http.get("/notifications")).json() == before
    assert await many(api_tenant) == dry
    assert await many(api_tenant, force=True, dry_run=True) == {"matched": 1, "redriven": 1, "skipped": []}


OPT_OUT = ("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"sms": False}})
SUPPRESSION = ("POST", "/suppressions", {"channel": "sms", "address": "+447700900123"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (OPT_OUT, "opted_out"),
        (SUPPRESSION, "suppressed"),
        (("PATCH", "/recipients/ada", {"phone": None}), "no_address"),
        (("PATCH", "/settings", {"phone_regions": ["DE"]}), "number_refused"),
        (("DELETE", "/recipients/ada", None), "recipient_erased"),
    ],
    ids=["preference", "suppression", "address", "region", "erasure"],
)
async def test_a_redrive_and_its_dry_run_skip_an_unreachable_recipient(
    api_tenant: ApiTenant, database: Database, change: tuple[str, str, Any], reason: str
) -> None:
    ids = await failed(api_tenant, database, 2)
    assert (await many(api_tenant, dry_run=True))["redriven"] == 2
    method, path, body = change
    assert (await api_tenant.http.request(method, path, json=body)).is_success
    skipped = [{"id": id, "reason": reason} for id in ids]
    for dry_run in (True, False):
        assert await many(api_tenant, dry_run=dry_run) == {"matched": 2, "redriven": 0, "skipped": skipped}
    one = (await api_tenant.http.post(f"/notifications/{ids[0]}/redrive")).json()
    assert (one["redriven"], one["status"], one["skipped"]) == (0, "FAILED", skipped[:1])


async def test_the_limit_takes_the_oldest_and_the_next_call_the_rest(api_tenant: ApiTenant, database: Database) -> None:
    ids = await failed(api_tenant, database, 5)
    await end(database, ids[:1], "IN_DOUBT")
    response = await many(api_tenant, limit=2)
    assert response == {"matched": 5, "redriven": 2, "skipped": [{"id": ids[0], "reason": "in_doubt"}]}
    states = {item["id"]: item["status"] for item in (await api_tenant.http.get("/notifications")).json()["items"]}
    assert [states[id] for id in ids] == ["IN_DOUBT", "PENDING", "PENDING", "FAILED", "FAILED"]
    assert (await many(api_tenant, limit=2))["redriven"] == 2


async def test_batch_by_batch_each_is_taken_once(
    api_tenant: ApiTenant, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.redriving.BATCH_SIZE", 2)
    ids = await failed(api_tenant, database, 7)
    await end(database, ids[2:4], "IN_DOUBT")
    assert (await many(api_tenant, limit=3, dry_run=True))["redriven"] == 3
    response = await many(api_tenant)
    assert (response["matched"], response["redriven"]) == (7, 5)
    assert [one["id"] for one in response["skipped"]] == ids[2:4]
    assert set(await starts(database, ids)) == {*ids[:2], *ids[4:]}


@pytest.mark.parametrize(
    ("wanted", "matched"),
    [
        ({"notification_type": "t"}, 2),
        ({"notification_type": "u"}, 0),
        ({"status": "FAILED"}, 2),
        ({"status": "IN_DOUBT"}, 0),
        ({"recipient_id": "ada"}, 2),
        ({"recipient_id": "bob"}, 0),
        ({"failure_reason": "sms: bounced"}, 2),
        ({"failure_reason": "sms: refused"}, 0),
        ({"channel": "sms"}, 0),
        ({"tag": "spring"}, 0),
        ({"created_from": "2026-01-01T00:00:00Z", "created_before": "2099-01-01T00:00:00Z"}, 2),
        ({"created_before": "2026-01-01T00:00:00Z"}, 0),
    ],
)
async def test_a_filter_selects_notifications(
    api_tenant: ApiTenant, database: Database, wanted: dict[str, str], matched: int
) -> None:
    await failed(api_tenant, database, 2)
    response = await many(api_tenant, filter=wanted)
    assert (response["matched"], response["redriven"]) == (matched, matched)


@pytest.mark.parametrize(
    ("status", "reason"),
    [("DELIVERED", "already_sent"), ("CANCELED", "canceled"), ("SUPPRESSED", "suppressed"), ("EXPIRED", "expired")],
)
async def test_a_refused_redrive_by_id_has_a_reason(
    api_tenant: ApiTenant, database: Database, status: str, reason: str
) -> None:
    [id] = await failed(api_tenant, database, 1, status=status)
    response = await many(api_tenant, filter={"status": status})
    assert response == {"matched": 1, "redriven": 0, "skipped": [{"id": id, "reason": reason}]}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/filter"),
        ({"filter": {"status": "LOST"}}, "/filter/status"),
        ({"filter": {"channel": "fax"}}, "/filter/channel"),
        ({"filter": {"failure_reason": ""}}, "/filter/failure_reason"),
        ({"filter": {"created_from": "yesterday"}}, "/filter/created_from"),
        ({"filter": {"kind": "t"}}, "/filter/kind"),
        ({"filter": {}, "limit": 0}, "/limit"),
        ({"filter": {}, "limit": 10_001}, "/limit"),
        ({"filter": {}, "dry_run": "yes"}, "/dry_run"),
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(
    api_tenant: ApiTenant, body: dict[str, Any], pointer: str
) -> None:
    assert set(validation_errors(await api_tenant.http.post("/notifications/redrive", json=body))) == {pointer}


@pytest.mark.parametrize("id", ["nonsense", "00000000-0000-0000-0000-000000000000"])
async def test_an_unknown_notification_is_not_redriven(api_tenant: ApiTenant, id: str) -> None:
    assert (await api_tenant.http.post(f"/notifications/{id}/redrive")).status_code == 404
