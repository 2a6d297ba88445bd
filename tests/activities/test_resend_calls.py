"""Test the calls of a lost worker and of a long outage against Resend: one email for one id."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from domain.evidence import CallResult
from domain.messages import DeliverInput
from providers.resend.adapter import Resend, ResendSettings
from providers.transport import Transport, outgoing_client
from storage.database import Database
from testing.vendors.modes import VendorMode
from testing.vendors.resend import API_KEY, FakeResend
from tests.activities.conftest import ActivityWorker
from tests.activities.test_repeated_calls import age
from tests.polling import eventually
from tests.storage.sends import DatabaseSend, DatabaseTenant

pytestmark = pytest.mark.postgres
R = CallResult


@pytest.fixture
async def resend() -> AsyncIterator[FakeResend]:
    async with FakeResend().running() as resend:
        yield resend


@pytest.fixture
async def worker(database: Database, resend: FakeResend) -> AsyncIterator[ActivityWorker]:
    settings = ResendSettings(api_key=SecretStr(API_KEY), sender="shop@example.com", base_url=resend.url)
    async with outgoing_client() as client:
        yield ActivityWorker(database, database, Resend(settings, Transport(client)))


@pytest.fixture
async def sent(database_tenant: DatabaseTenant) -> DatabaseSend:
    sent = await database_tenant.send()
    await database_tenant.query(
        "UPDATE delivery SET rendered_content = jsonb_build_object('subject', 'Hi', 'text', 'Hello') WHERE id = :id",
        id=sent.delivery(),
    )
    return sent


def call_of(sent: DatabaseSend, number: int = 1, *, must_repeat: bool = False) -> DeliverInput:
    return sent.call(number, provider="resend", must_repeat=must_repeat)


async def count_held(resend: FakeResend) -> int:
    return resend.held


async def test_a_worker_that_is_killed_in_its_call_causes_no_second_email(
    worker: ActivityWorker, sent: DatabaseSend, resend: FakeResend
) -> None:
    resend.mode = VendorMode.HOLDS
    killed = asyncio.create_task(worker.deliver(call_of(sent)))
    await eventually(lambda: count_held(resend), lambda held: held == 1)
    killed.cancel()
    await asyncio.wait([killed])
    assert await sent.attempt_states() == [(1, "submitting", None)]
    resend.mode = VendorMode.GOOD
    outcome = await worker.deliver(call_of(sent))
    assert (outcome.result, dict(resend.log.kept)) == (R.ACCEPTED, {str(sent.attempt()): 1})
    first, second = resend.log.requests
    assert (first.body, first.headers["idempotency-key"]) == (second.body, second.headers["idempotency-key"])


async def test_a_resend_in_the_window_gets_the_id_of_the_first_email(
    worker: ActivityWorker, sent: DatabaseSend, resend: FakeResend
) -> None:
    resend.mode = VendorMode.LOSES
    assert (await worker.deliver(call_of(sent))).result is R.UNKNOWN
    resend.mode = VendorMode.REFUSES
    assert (await worker.deliver(call_of(sent, 2, must_repeat=True))).result is R.UNKNOWN
    resend.mode = VendorMode.GOOD
    outcome = await worker.deliver(call_of(sent, 3, must_repeat=True))
    [(_, reply)] = resend.requests_by_key.values()
    assert (outcome.result, outcome.provider_message_id) == (R.ACCEPTED, reply.body["id"])
    assert sum(resend.log.kept.values()) == 1


async def test_a_resend_after_the_window_is_another_email_that_only_the_guarantee_allows(
    worker: ActivityWorker, sent: DatabaseSend, resend: FakeResend
) -> None:
    resend.mode = VendorMode.LOSES
    await worker.deliver(call_of(sent))
    resend.mode = VendorMode.GOOD
    resend.forget()
    await age(sent, 24)
    refused = await worker.deliver(call_of(sent, 2, must_repeat=True))
    assert (refused.result, refused.reason, sum(resend.log.kept.values())) == (R.UNKNOWN, "repeat_too_late", 1)
    assert (await worker.deliver(call_of(sent, 3))).result is R.ACCEPTED
    assert dict(resend.log.kept) == {str(sent.attempt()): 1, str(sent.attempt(3)): 1}


async def test_a_resend_to_a_changed_address_is_refused_and_stays_unknown(
    worker: ActivityWorker, sent: DatabaseSend, resend: FakeResend
) -> None:
    resend.mode = VendorMode.LOSES
    await worker.deliver(call_of(sent))
    resend.mode = VendorMode.GOOD
    await sent.database_tenant.query(
        "UPDATE recipient SET contact = jsonb_build_object('email', 'new@example.com') WHERE recipient_id = 'ada'"
    )
    outcome = await worker.deliver(call_of(sent, 2, must_repeat=True))
    assert (outcome.result, outcome.reason, outcome.unknown_since) == (R.UNKNOWN, "repeat_refused", None)
    assert sum(resend.log.kept.values()) == 1
