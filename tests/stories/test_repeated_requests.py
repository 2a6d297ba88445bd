"""Check that a lost response of Resend leads to no second email, as long as it recognizes the repeated request."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from providers.resend.adapter import Resend
from testing.vendors.modes import VendorMode
from testing.vendors.resend import API_KEY, FakeResend
from testing.vendors.sendgrid import FakeSendGrid
from testing.vendors.smtp import SENDER, MailServer
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import running_engine
from tests.polling import eventually
from tests.stories.test_failover import list_attempts
from tests.stories.vendors import vendor_environment

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
LOST = ("resend", "unknown", "connection_lost")


@pytest.fixture
async def resend() -> AsyncIterator[FakeResend]:
    async with FakeResend().running() as resend:
        yield resend


@pytest.fixture
async def mail_server() -> AsyncIterator[MailServer]:
    """Serve the second provider of the pool, which may get no email here."""
    async with MailServer(login=False).running() as mail_server:
        yield mail_server
    assert mail_server.mails == 0


@pytest.fixture
async def resend_tenant(
    resend: FakeResend, mail_server: MailServer, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ApiTenant]:
    environment = {
        **vendor_environment(FakeSendGrid(), mail_server),
        "TOCSIN_RESEND_API_KEY": API_KEY,
        "TOCSIN_RESEND_FROM": SENDER,
        "TOCSIN_RESEND_BASE_URL": resend.url,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with (
        running_engine(database_url, tmp_path, email_providers=["resend", "smtp"]) as engine,
        open_api_tenant(engine) as api_tenant,
    ):
        await api_tenant.put_recipient("ada", email="ada@example.com")
        yield api_tenant


def total_kept(resend: FakeResend) -> int:
    return sum(resend.log.kept.values())


async def lose_first_response(resend_tenant: ApiTenant, resend: FakeResend, type_key: str) -> str:
    resend.set_mode(VendorMode.LOSES)
    before = len(resend.log.requests)
    id = await resend_tenant.send(type_key)
    await eventually(lambda: count_requests(resend), lambda requests: requests > before)
    resend.set_mode(VendorMode.GOOD)
    return id


async def count_requests(resend: FakeResend) -> int:
    return len(resend.log.requests)


async def test_after_a_lost_response_there_is_one_email(resend_tenant: ApiTenant, resend: FakeResend) -> None:
    """Under every guarantee, and the resend gets the id of the first request."""
    for number, guarantee in enumerate((None, "reconcile", "at_most_once", "at_least_once"), start=1):
        await resend_tenant.put_type(f"news{number}", ["email"], delivery_guarantee=guarantee)
        id = await lose_first_response(resend_tenant, resend, f"news{number}")
        notification = await resend_tenant.wait_for_end(id, "SENT", "IN_DOUBT")
        assert list_attempts(notification) == [LOST, ("resend", "accepted", None)]
        assert total_kept(resend) == number
    bodies = [request.body for request in resend.log.requests]
    assert bodies[::2] == bodies[1::2]


async def test_a_response_that_is_lost_for_longer_than_the_window_is_in_doubt(
    resend_tenant: ApiTenant, resend: FakeResend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resends stop before the vendor forgets the first request."""
    monkeypatch.setattr(Resend, "deadline", 1.0)
    monkeypatch.setattr(Resend, "idempotency_window", timedelta(seconds=4))
    resend.set_mode(VendorMode.LOSES)
    await resend_tenant.put_type("news", ["email"])
    notification = await resend_tenant.wait_for_end(await resend_tenant.send("news"), "SENT", "IN_DOUBT", "FAILED")
    assert notification["status"] == "IN_DOUBT"
    assert len(resend.log.requests) > 1
    assert total_kept(resend) == 1
