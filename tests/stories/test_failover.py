"""Check failover between two providers after an error, a throttled call and a lost response."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.channels import Channel
from domain.evidence import AttemptState
from metrics.registry import REGISTRY
from storage.deliveries import NewDelivery, insert_deliveries
from testing.vendors.http import Reply
from testing.vendors.sendgrid import FakeSendGrid
from testing.vendors.ses import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, FakeSes
from testing.vendors.smtp import MailMode, MailServer
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import later, running_engine
from tests.polling import eventually
from tests.storage.queues import state_of
from tests.storage.sends import DatabaseSend, DatabaseTenant
from tests.stories.vendors import vendor_environment

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

BUSY = "451 4.3.0 Try again later"


@pytest.fixture
async def sendgrid() -> AsyncIterator[FakeSendGrid]:
    async with FakeSendGrid().running() as sendgrid:
        yield sendgrid


@pytest.fixture
async def mail_server() -> AsyncIterator[MailServer]:
    async with MailServer(login=False).running() as mail_server:
        yield mail_server


@pytest.fixture
def pool_weights() -> list[str]:
    """Return the providers of the pool. The second is used only if the first fails."""
    return ["sandbox", "smtp"]


@pytest.fixture
async def pool_tenant(
    sendgrid: FakeSendGrid,
    mail_server: MailServer,
    pool_weights: list[str],
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[ApiTenant]:
    for name, value in vendor_environment(sendgrid, mail_server).items():
        monkeypatch.setenv(name, value)
    async with (
        running_engine(database_url, tmp_path, email_providers=pool_weights) as engine,
        open_api_tenant(engine) as api_tenant,
    ):
        await api_tenant.put_type("news", ["email"])
        yield api_tenant


def list_attempts(notification: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Return the provider, outcome and reason of each attempt."""
    [delivery] = notification["deliveries"]
    return [(attempt["provider"], attempt["outcome"], attempt["reason"]) for attempt in delivery["attempts"]]


class TestThrottlingProvider:
    @pytest.fixture
    def pool_weights(self) -> list[str]:
        return ["sendgrid", "smtp"]

    async def test_a_throttling_provider_is_not_called_and_the_other_is_used(
        self, pool_tenant: ApiTenant, sendgrid: FakeSendGrid, mail_server: MailServer
    ) -> None:
        sendgrid.reply = Reply(status=429, headers={"Retry-After": "60"})
        mail_server.replies["MAIL"] = BUSY
        await pool_tenant.put_recipient("ada", email="ada@example.com")
        id = await pool_tenant.send("news")
        await eventually(lambda: count_calls(mail_server), lambda times: times == 1)
        mail_server.replies.clear()
        notification = await pool_tenant.wait_until_finished(id)
        assert [(name, outcome) for name, outcome, _ in list_attempts(notification)] == [
            ("sendgrid", "error"),
            ("smtp", "error"),
            ("smtp", "accepted"),
        ]
        assert (sum(sendgrid.log.called.values()), len(mail_server.ledger)) == (1, 1)
        assert "rerouted" not in [entry["kind"] for entry in notification["timeline"]], (
            "another message has caused the failover"
        )


async def count_calls(mail_server: MailServer) -> int:
    return mail_server.mails


class TestSecondProviderWithoutLookup:
    """Lose a message at a mail server, which has no lookup, after the first provider, which has one.

    The message is sent again, as the guarantee allows. A lookup at the first provider would prove nothing.
    """

    async def test_a_lost_message_is_resent(self, pool_tenant: ApiTenant, mail_server: MailServer) -> None:
        mail_server.mode = MailMode.LOSE
        await pool_tenant.put_recipient("ada", email="ada+throttle@example.com")
        notification = await pool_tenant.wait_for_end(await pool_tenant.send("news"), "SENT", "DELIVERED", "IN_DOUBT")
        assert list_attempts(notification) == [
            ("sandbox", "error", "throttled"),
            ("smtp", "unknown", "connection_lost"),
            ("sandbox", "accepted", None),
        ]

    async def test_a_lost_message_is_resent_by_a_successor_workflow(
        self, pool_tenant: ApiTenant, mail_server: MailServer
    ) -> None:
        await pool_tenant.put_recipient("ada", email="ada@example.com")
        id = await pool_tenant.send("news", send_at=later(600))
        await insert_lost_attempt(pool_tenant, id)
        await pool_tenant.make_due(id)
        notification = await pool_tenant.wait_for_end(id, "SENT", "DELIVERED", "IN_DOUBT")
        assert list_attempts(notification)[:2] == [("sandbox", "error", None), ("smtp", "unknown", "worker_lost")]
        assert [outcome for _, outcome, _ in list_attempts(notification)[2:]] == ["accepted"]


async def insert_lost_attempt(api_tenant: ApiTenant, id: str) -> None:
    """Insert the rows of a workflow that was lost during its second call, to the mail server.

    Another workflow of the notification waits for `send_at`.
    """
    database_tenant = DatabaseTenant(
        database=api_tenant.engine.container.database, tenant=api_tenant.tenant, type_id=UUID(int=0)
    )
    await eventually(partial(state_of, database_tenant, UUID(id)), lambda state: state == "waiting")
    send = DatabaseSend(database_tenant=database_tenant, id=UUID(id), channels=(Channel.EMAIL,))
    content = {"subject": "Hi", "text": "Hello"}
    draft = NewDelivery(id=send.delivery(), step=1, channel=Channel.EMAIL, rule=None, content=content)
    async with database_tenant.database.transaction() as session:
        assert await insert_deliveries(session, send.id, database_tenant.tenant, send.generation, [draft])
    assert await send.claim()
    await send.answer(AttemptState.NOT_ACCEPTED)
    assert await send.claim(2, provider="smtp")


class TestSecondProviderWithLookup:
    @pytest.fixture
    def pool_weights(self) -> list[str]:
        return ["smtp", "sandbox"]

    async def test_a_lost_message_is_looked_up_and_not_resent(
        self, pool_tenant: ApiTenant, mail_server: MailServer
    ) -> None:
        mail_server.replies["MAIL"] = BUSY
        await pool_tenant.put_recipient("ada", email="ada+lost@example.com")
        notification = await pool_tenant.wait_for_end(await pool_tenant.send("news"), "SENT", "DELIVERED")
        assert [(name, outcome) for name, outcome, _ in list_attempts(notification)] == [
            ("smtp", "error"),
            ("sandbox", "accepted"),
        ]
        assert "attempt_unknown" in [entry["kind"] for entry in notification["timeline"]]
        assert len(await pool_tenant.list_outbox()) == 1


class TestSuspendedAccount:
    @pytest.fixture
    async def ses(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeSes]:
        async with FakeSes().running() as ses:
            settings = {"REGION": REGION, "ACCESS_KEY_ID": ACCESS_KEY_ID, "SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
            settings |= {"FROM": "shop@shop.example", "BASE_URL": ses.url}
            for name, value in settings.items():
                monkeypatch.setenv(f"TOCSIN_SES_{name}", value)
            yield ses

    @pytest.fixture
    def pool_weights(self, ses: FakeSes) -> list[str]:
        return ["sendgrid", "ses"]

    async def test_another_vendor_takes_over_within_a_minute_and_every_surface_states_why(
        self, pool_tenant: ApiTenant, sendgrid: FakeSendGrid, ses: FakeSes
    ) -> None:
        await pool_tenant.put_recipient(email="ada@example.com")
        before = await pool_tenant.wait_until_finished(await pool_tenant.send("news"))
        assert list_attempts(before) == [("sendgrid", "accepted", None)]
        sendgrid.reply = Reply(status=403, body={"errors": [{"message": "Your account is suspended", "field": None}]})
        after = await pool_tenant.wait_until_finished(await pool_tenant.send("news"), within=60)
        assert list_attempts(after) == [("sendgrid", "error", "credentials_refused"), ("ses", "accepted", None)]
        assert len(ses.log.kept) == 1

        [entry] = [entry for entry in after["timeline"] if entry["kind"] == "attempt_not_accepted"]
        assert (entry["reason"], entry["detail"]["provider"]) == ("credentials_refused", "sendgrid")
        explanation = str(await pool_tenant.call("GET", f"/notifications/{after['id']}/explain"))
        assert "sendgrid" in explanation
        assert "email, attempt 1: sendgrid cannot send for us (credentials_refused)." in explanation

        # The circuit opens after the refusals of several recipients.
        people = [f"customer-{number}" for number in range(6)]
        for name in people:
            await pool_tenant.put_recipient(name, email=f"{name}@example.com")
        await asyncio.gather(*(pool_tenant.send("news", name) for name in people))
        health = await eventually(
            lambda: read_health(pool_tenant, "sendgrid"), lambda health: health["state"] == "open"
        )
        assert health["reason"] == "credentials_refused"
        counted = {"provider": "sendgrid", "reason": "credentials_refused"}
        assert REGISTRY.get_sample_value("tocsin_provider_account_errors_total", counted)


async def read_health(api_tenant: ApiTenant, name: str) -> dict[str, Any]:
    items: list[dict[str, Any]] = (await api_tenant.call("GET", "/providers"))["items"]
    return dict(next(item["health"] for item in items if item["name"] == name))
