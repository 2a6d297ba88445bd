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
from tests.engine import Shop, later, open_shop, running_engine
from tests.polling import eventually
from tests.providers.mail_server import SENDER, MailMode, MailServer
from tests.storage.queues import state_of
from tests.storage.sends import Desk, Sent
from tests.stories.vendors import SendGridStandIn

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

BUSY = "451 4.3.0 Try again later"


@pytest.fixture
async def web() -> AsyncIterator[SendGridStandIn]:
    web = SendGridStandIn()
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
    web: SendGridStandIn,
    mail: MailServer,
    members: list[str],
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Shop]:
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
    async with running_engine(database_url, tmp_path, email_providers=members) as engine, open_shop(engine) as shop:
        await shop.type("news", ["email"])
        yield shop


def asked(shown: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Who, and what came of it."""
    [delivery] = shown["deliveries"]
    return [(each["provider"], each["outcome"], each["reason"]) for each in delivery["attempts"]]


class TestOneAsksToWait:
    @pytest.fixture
    def members(self) -> list[str]:
        return ["sendgrid", "smtp"]

    async def test_it_is_left_alone_for_so_long_and_the_other_is_tried_meanwhile(
        self, pooled: Shop, web: SendGridStandIn, mail: MailServer
    ) -> None:
        web.status, web.headers = 429, {"retry-after": "60"}
        mail.answers["MAIL"] = BUSY
        await pooled.person("ada", email="ada@example.com")
        id = await pooled.send("news")
        await eventually(lambda: called(mail), lambda times: times == 1)
        mail.answers.clear()
        shown = await pooled.finished(id)
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

    async def test_what_it_lost_is_sent_again(self, pooled: Shop, mail: MailServer) -> None:
        mail.mode = MailMode.LOSE
        await pooled.person("ada", email="ada+throttle@example.com")
        shown = await pooled.ended(await pooled.send("news"), "SENT", "DELIVERED", "IN_DOUBT")
        assert asked(shown) == [
            ("sandbox", "error", "throttled"),
            ("smtp", "unknown", "connection_lost"),
            ("sandbox", "accepted", None),
        ]

    async def test_also_by_a_workflow_that_takes_over_and_would_have_asked_the_first(
        self, pooled: Shop, mail: MailServer
    ) -> None:
        await pooled.person("ada", email="ada@example.com")
        id = await pooled.send("news", send_at=later(600))
        await lost_with(pooled, id)
        await pooled.due(id)
        shown = await pooled.ended(id, "SENT", "DELIVERED", "IN_DOUBT")
        assert asked(shown)[:2] == [("sandbox", "error", None), ("smtp", "unknown", "worker_lost")]
        assert [outcome for _, outcome, _ in asked(shown)[2:]] == ["accepted"]


async def lost_with(shop: Shop, id: str) -> None:
    """Rows of a workflow that was lost during its second call, to the mail server; another one waits for `send_at`."""
    desk = Desk(database=shop.engine.parts.database, tenant=shop.tenant, type_id=UUID(int=0))
    await eventually(partial(state_of, desk, UUID(id)), lambda state: state == "waiting")
    sent = Sent(desk=desk, id=UUID(id), channels=(Channel.EMAIL,))
    words = {"subject": "Hi", "text": "Hello"}
    draft = NewDelivery(id=sent.delivery(), step=1, channel=Channel.EMAIL, rule=None, content=words)
    async with desk.database.transaction() as session:
        assert await insert_deliveries(session, sent.id, desk.tenant, sent.generation, [draft])
    assert await sent.claim()
    await sent.answer(AttemptState.NOT_ACCEPTED)
    assert await sent.claim(2, provider="smtp")


class TestTheSecondCanBeAsked:
    @pytest.fixture
    def members(self) -> list[str]:
        return ["smtp", "sandbox"]

    async def test_it_is_asked_for_what_it_lost_and_nothing_is_sent_again(self, pooled: Shop, mail: MailServer) -> None:
        mail.answers["MAIL"] = BUSY
        await pooled.person("ada", email="ada+lost@example.com")
        shown = await pooled.ended(await pooled.send("news"), "SENT", "DELIVERED")
        assert [(name, outcome) for name, outcome, _ in asked(shown)] == [("smtp", "error"), ("sandbox", "accepted")]
        assert "attempt_unknown" in [entry["kind"] for entry in shown["timeline"]]
        assert len(await pooled.outbox()) == 1
