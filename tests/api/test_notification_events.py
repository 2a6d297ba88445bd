"""Test that an event of an application is stored as one receipt, or rejected with its issue."""

from uuid import uuid4

import pytest
from httpx2 import Response
from sqlalchemy import text

from models.notifications import Attempt
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant
from tests.storage.recipient_histories import StoredHistory, recipient_with_history

pytestmark = pytest.mark.postgres

RECEIPTS = text("SELECT kind FROM receipt WHERE attempt_id = :id AND provider = 'application' ORDER BY kind")


async def known(api_tenant: ApiTenant) -> StoredHistory:
    """Create a notification whose delivery by email was sent."""
    return await recipient_with_history(api_tenant.database, api_tenant.tenant, api_tenant.recipient_id)


async def report(api_tenant: ApiTenant, id: object, **body: str) -> Response:
    return await api_tenant.http.post(f"/notifications/{id}/events", json=body)


async def receipts(api_tenant: ApiTenant, one: StoredHistory) -> list[str]:
    async with api_tenant.database.transaction() as session:
        return [row.kind for row in await session.execute(RECEIPTS, {"id": one.attempt_id})]


async def test_each_event_is_stored_once(api_tenant: ApiTenant) -> None:
    one = await known(api_tenant)
    for event in ("opened", "clicked", "opened"):
        assert (await report(api_tenant, one.notification_id, event=event)).status_code == 204
    assert (await report(api_tenant, one.notification_id, event="opened", channel="email")).status_code == 204
    assert await receipts(api_tenant, one) == ["clicked", "opened"]


async def test_a_channel_by_which_nothing_was_sent_is_a_conflict(api_tenant: ApiTenant) -> None:
    one = await known(api_tenant)
    response = await report(api_tenant, one.notification_id, event="opened", channel="push")
    detail = "This notification was not sent by push, but by email."
    assert (response.status_code, response.json()["detail"]) == (409, detail)
    assert await receipts(api_tenant, one) == []


async def test_a_call_that_was_refused_sent_nothing(api_tenant: ApiTenant) -> None:
    one = await known(api_tenant)
    async with api_tenant.database.transaction() as session:
        attempt = await session.get_one(Attempt, one.attempt_id)
        attempt.state, attempt.evidence = "refused", "not_sent"
    response = await report(api_tenant, one.notification_id, event="opened", channel="email")
    assert (response.status_code, response.json()["detail"]) == (409, "This notification was not sent by any channel.")


@pytest.mark.parametrize(
    ("body", "pointer"), [({"event": "opened", "channel": "pigeon"}, "/channel"), ({"event": "delivered"}, "/event")]
)
async def test_an_unknown_word_is_invalid(api_tenant: ApiTenant, body: dict[str, str], pointer: str) -> None:
    assert list(validation_errors(await report(api_tenant, uuid4(), **body))) == [pointer]
