"""One message and two providers: whose turn it is after an error, and whose word counts when an answer is lost."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.channels import Channel
from domain.evidence import AttemptState
from storage.deliveries import NewDelivery, insert_deliveries
from tests.engine import ApiTenant, later, open_api_tenant, running_engine
from tests.polling import eventually
from tests.providers.mail_server import SENDER, MailMode, MailServer
from tests.storage.queues import state_of
from tests.storage.sends import DatabaseSend, DatabaseTenant
from tests.stories.vendors import CountingSendGrid

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

BUSY = "451 4.3.0 Try again later"


@pytest.fixture
async def web() -> AsyncIterator[CountingSendGrid]:
    web = CountingSendGrid()
    await web.start()
    yield web
    await web.stop()


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    async with MailServer(login=False).open() as mail:
        yield mail


@pytest.fixture
def members() -> list[str]:
    """The first takes all, the second stands by."""
    return ["sandbox", "smtp"]


@pytest.fixture
async def pooled(
    web: CountingSendGrid,
    mail: MailServer,
    members: list[str],
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[ApiTenant]:
    environment = {
        "TOCSIN_SENDGRID_API_KEY": "a key",
        "TOCSIN_SENDGRID_FROM": SENDER,
        "TOCSIN_SENDGRID_BASE_URL": f"http://127.0.0.1:{web.port}",
        "TOCSIN_SMTP_HOST": "localhost",
        "TOCSIN_SMTP_PORT": str(mail.port),
        "TOCSIN_SMTP_TLS": "none",
        "TOCSIN_SMTP_FROM": SENDER,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with (
        running_engine(database_url, tmp_path, email_providers=members) as engine,
        open_api_tenant(engine) as api_tenant,
    ):
        await api_tenant.put_type("news", ["email"])
        yield api_tenant


def asked(shown: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Who, and what came of it."""
    [delivery] = shown["deliveries"]
    return [(each["provider"], each["outcome"], each["reason"]) for each in delivery["attempts"]]


class TestOneAsksToWait:
    @pytest.fixture
    def members(self) -> list[str]:
        return ["sendgrid", "smtp"]

    async def test_a_throttling_provider_is_left_alone_and_the_other_is_used(
        self, pooled: ApiTenant, web: CountingSendGrid, mail: MailServer
    ) -> None:
        web.status, web.headers = 429, {"retry-after": "60"}
        mail.answers["MAIL"] = BUSY
        await pooled.put_recipient("ada", email="ada@example.com")
        id = await pooled.send("news")
        await eventually(lambda: called(mail), lambda times: times == 1)
        mail.answers.clear()
        shown = await pooled.wait_until_finished(id)
        assert [(name, outcome) for name, outcome, _ in asked(shown)] == [
            ("sendgrid", "error"),
            ("smtp", "error"),
            ("smtp", "accepted"),
        ]
        assert (sum(web.called.values()), len(mail.ledger)) == (1, 1)
        assert "rerouted" not in [entry["kind"] for entry in shown["timeline"]], "somebody else has kept it away"


async def called(mail: MailServer) -> int:
    return mail.mails


class TestTheSecondCannotBeAsked:
    """The first can. Of a message that was lost with a mail server a second one is sent, as the second's guarantee
    says; to ask the first for it would prove nothing."""

    async def test_a_lost_message_is_resent(self, pooled: ApiTenant, mail: MailServer) -> None:
        mail.mode = MailMode.LOSE
        await pooled.put_recipient("ada", email="ada+throttle@example.com")
        shown = await pooled.wait_for_end(await pooled.send("news"), "SENT", "DELIVERED", "IN_DOUBT")
        assert asked(shown) == [
            ("sandbox", "error", "throttled"),
            ("smtp", "unknown", "connection_lost"),
            ("sandbox", "accepted", None),
        ]

    async def test_a_lost_message_is_resent_by_a_successor_workflow(self, pooled: ApiTenant, mail: MailServer) -> None:
        await pooled.put_recipient("ada", email="ada@example.com")
        id = await pooled.send("news", send_at=later(600))
        await lost_with(pooled, id)
        await pooled.make_due(id)
        shown = await pooled.wait_for_end(id, "SENT", "DELIVERED", "IN_DOUBT")
        assert asked(shown)[:2] == [("sandbox", "error", None), ("smtp", "unknown", "worker_lost")]
        assert [outcome for _, outcome, _ in asked(shown)[2:]] == ["accepted"]


async def lost_with(api_tenant: ApiTenant, id: str) -> None:
    """Rows of a workflow that was lost during its second call, to the mail server; another one waits for `send_at`."""
    database_tenant = DatabaseTenant(
        database=api_tenant.engine.container.database, tenant=api_tenant.tenant, type_id=UUID(int=0)
    )
    await eventually(partial(state_of, database_tenant, UUID(id)), lambda state: state == "waiting")
    sent = DatabaseSend(database_tenant=database_tenant, id=UUID(id), channels=(Channel.EMAIL,))
    words = {"subject": "Hi", "text": "Hello"}
    draft = NewDelivery(id=sent.delivery(), step=1, channel=Channel.EMAIL, rule=None, content=words)
    async with database_tenant.database.transaction() as session:
        assert await insert_deliveries(session, sent.id, database_tenant.tenant, sent.generation, [draft])
    assert await sent.claim()
    await sent.answer(AttemptState.NOT_ACCEPTED)
    assert await sent.claim(2, provider="smtp")


class TestTheSecondCanBeAsked:
    @pytest.fixture
    def members(self) -> list[str]:
        return ["smtp", "sandbox"]

    async def test_a_lost_message_is_looked_up_and_not_resent(self, pooled: ApiTenant, mail: MailServer) -> None:
        mail.answers["MAIL"] = BUSY
        await pooled.put_recipient("ada", email="ada+lost@example.com")
        shown = await pooled.wait_for_end(await pooled.send("news"), "SENT", "DELIVERED")
        assert [(name, outcome) for name, outcome, _ in asked(shown)] == [("smtp", "error"), ("sandbox", "accepted")]
        assert "attempt_unknown" in [entry["kind"] for entry in shown["timeline"]]
        assert len(await pooled.list_outbox()) == 1
