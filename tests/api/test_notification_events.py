"""What an application reports of a notification: stored as one receipt, or refused with what is wrong."""

from uuid import uuid4

import pytest
from httpx2 import Response
from sqlalchemy import text

from models.notifications import Attempt
from tests.api.shops import Shop, faults
from tests.storage.histories import Known, person_with_history

pytestmark = pytest.mark.postgres

RECEIPTS = text("SELECT kind FROM receipt WHERE attempt_id = :id AND provider = 'application' ORDER BY kind")


async def known(shop: Shop) -> Known:
    """With a delivery by email that was sent."""
    return await person_with_history(shop.database, shop.tenant, shop.person)


async def report(shop: Shop, id: object, **body: str) -> Response:
    return await shop.http.post(f"/notifications/{id}/events", json=body)


async def receipts(shop: Shop, one: Known) -> list[str]:
    async with shop.database.transaction() as session:
        return [row.kind for row in await session.execute(RECEIPTS, {"id": one.attempt_id})]


async def test_each_event_is_stored_once(shop: Shop) -> None:
    one = await known(shop)
    for event in ("opened", "clicked", "opened"):
        assert (await report(shop, one.notification_id, event=event)).status_code == 204
    assert (await report(shop, one.notification_id, event="opened", channel="email")).status_code == 204
    assert await receipts(shop, one) == ["clicked", "opened"]


async def test_a_channel_by_which_nothing_was_sent_is_a_conflict(shop: Shop) -> None:
    one = await known(shop)
    response = await report(shop, one.notification_id, event="opened", channel="push")
    detail = "This notification was not sent by push, but by email."
    assert (response.status_code, response.json()["detail"]) == (409, detail)
    assert await receipts(shop, one) == []


async def test_a_call_that_was_refused_sent_nothing(shop: Shop) -> None:
    one = await known(shop)
    async with shop.database.transaction() as session:
        attempt = await session.get_one(Attempt, one.attempt_id)
        attempt.state, attempt.evidence = "refused", "not_sent"
    response = await report(shop, one.notification_id, event="opened", channel="email")
    assert (response.status_code, response.json()["detail"]) == (409, "This notification was not sent by any channel.")


@pytest.mark.parametrize(
    ("body", "pointer"), [({"event": "opened", "channel": "pigeon"}, "/channel"), ({"event": "delivered"}, "/event")]
)
async def test_an_unknown_word_is_invalid(shop: Shop, body: dict[str, str], pointer: str) -> None:
    assert list(faults(await report(shop, uuid4(), **body))) == [pointer]
