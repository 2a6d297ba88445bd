"""One fact, wherever it is shown: the notification, its timeline, `explain`, `/failures` and the event webhook."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from api.explaining import explanation
from api.routes.parked_failures import as_group
from api.schemas.explanations import Explanation
from api.views import notification_view
from config import Settings
from domain.clock import now
from domain.evidence import AttemptState, Reporter
from domain.failure_reasons import REASONS, is_account, text_of
from domain.ledger import close_delivery, finish
from domain.reasons import Reason, because, category_of, line, sentence
from domain.records import Ledger, Verdict
from domain.statuses import DeliveryStatus, NotificationStatus
from storage import failures, notification_types, notifications
from storage.database import Database
from storage.ledgers import amend
from storage.parked import Filter
from tests.dispatch.hooks import Hooks, open_hooks
from tests.storage.sends import Sent
from tests.storage.test_receipt_batches import apply_waiting, claimed, receipt, store

pytestmark = pytest.mark.postgres

SETTINGS = Settings(env="dev", _env_file=None)
Shown = dict[str, Any]


@pytest.fixture
async def hooks(database: Database) -> AsyncIterator[Hooks]:
    async with database.transaction() as session:
        await session.execute(text("TRUNCATE receipt"))
    async with open_hooks(database) as hooks:
        await hooks.endpoint("all", "http://127.0.0.1:9/", "notification.failed", "notification.opened")
        yield hooks


async def shown(sent: Sent) -> tuple[Shown, Explanation]:
    """The notification as the API shows it, and as `explain` tells it."""
    async with sent.desk.database.transaction() as session:
        record = await notifications.read(session, sent.desk.tenant, sent.id, now())
        assert record is not None
        kind = await notification_types.by_id(session, sent.desk.tenant, record.notification.type_id)
    assert kind is not None
    view = notification_view(record, SETTINGS).model_dump(mode="json")
    return view, explanation(record, kind, (), SETTINGS)


async def groups(hooks: Hooks) -> dict[str, tuple[str | None, str | None]]:
    """The channel and category of each reason that `/failures` lists."""
    async with hooks.desk.database.transaction() as session:
        found = await failures.page(session, hooks.desk.tenant, Filter(), after=None, limit=200)
    listed = [as_group(one) for one in found]
    return {one.reason: (one.channel, one.category) for one in listed}


async def posted(hooks: Hooks) -> dict[str, Shown]:
    """What the event webhook says of each notification."""
    bodies = [json.loads(message["body"])["data"] for message in await hooks.messages("all")]
    return {body["notification_id"]: body for body in bodies}


async def agree(hooks: Hooks, ends: list[tuple[Sent, Reason]]) -> None:
    listed, told = await groups(hooks), await posted(hooks)
    for sent, reason in ends:
        view, told_in_words = await shown(sent)
        [delivery] = view["deliveries"]
        [event] = [entry for entry in view["timeline"] if entry["status"] == "FAILED"]
        said, category = line(reason), category_of(reason)
        assert (view["failure_reason"], view["failure_category"]) == (f"email: {said}", category)
        assert view["failures"] == [{"channel": "email", "code": reason.code, "args": reason.args}]
        assert (delivery["failure_reason"], delivery["failure_category"]) == (said, category)
        detail = event["detail"] or {}
        assert (event["reason"], detail.get("category")) == (said, category)
        assert reason.args.items() <= detail.items()
        assert listed[said] == ("email", category)
        assert (told[str(sent.id)]["reason"], told[str(sent.id)]["category"]) == (f"email: {said}", category)
        assert f"(email: {sentence(reason)})." in told_in_words.summary


async def test_every_reported_reason_is_the_same_on_each_surface(hooks: Hooks) -> None:
    reported = [(await claimed(hooks.desk), code) for code in (*REASONS, None)]
    for sent, code in reported:
        await sent.answer(AttemptState.ACCEPTED, str(sent.id))
        async with hooks.desk.database.transaction() as session:
            await amend(session, sent.key, lambda ledger: finish(ledger, now()))
        await store(hooks.desk.database, receipt("failed", attempt_id=sent.attempt(), reason=code))
    await apply_waiting(hooks.desk.database)
    ends = [(sent, because("provider_failed" if is_account(code) else "bounced", code)) for sent, code in reported]
    await agree(hooks, ends)
    for (_, code), (sent, _) in zip(reported, ends, strict=True):
        assert code is None or text_of(code) in (await shown(sent))[1].summary
    async with hooks.desk.database.transaction() as session:
        await session.execute(text("DELETE FROM provider_health WHERE provider = 'sandbox'"))


OWN = [
    because("refused", "too_large"),
    because("refused", "refused_recipient"),
    because("refused", "status_404"),
    because("provider_failed", "credentials_refused"),
    because("template_error", "'name' is undefined in body, line 3"),
    Reason("no_address"),
    Reason("no_template"),
    Reason("no_provider"),
]


async def test_every_end_of_our_own_is_the_same_on_each_surface(hooks: Hooks) -> None:
    ends = []
    for reason in OWN:
        sent = await hooks.desk.send()
        verdict = Verdict(status=DeliveryStatus.FAILED, reason=reason)

        def ended(ledger: Ledger, sent: Sent = sent, verdict: Verdict = verdict) -> Ledger:
            return finish(close_delivery(ledger, sent.delivery(), verdict, now()), now(), NotificationStatus.FAILED)

        async with hooks.desk.database.transaction() as session:
            await amend(session, sent.key, ended)
        ends.append((sent, reason))
    await agree(hooks, ends)


@pytest.mark.parametrize(
    ("reporter", "words"),
    [
        (Reporter.APPLICATION, "the application reports that it was opened"),
        (Reporter.INBOX, "the inbox reports that it was opened"),
        (Reporter.TRACKING, "Tocsin's own tracking reports that it was opened"),
        ("sandbox", "sandbox reports that it was opened"),
    ],
)
async def test_an_opening_is_shown_as_reported_by_who_reported_it(hooks: Hooks, reporter: str, words: str) -> None:
    sent = await claimed(hooks.desk)
    await sent.answer(AttemptState.ACCEPTED, str(sent.id))
    await store(hooks.desk.database, receipt("opened", attempt_id=sent.attempt(), provider=reporter))
    await apply_waiting(hooks.desk.database)
    view, told = await shown(sent)
    [entry] = [entry for entry in view["timeline"] if entry["kind"] == "opened"]
    of_provider = reporter == "sandbox"
    assert entry["detail"] == {"provider" if of_provider else "reported_by": reporter, "receipt": "opened"}
    assert f"email: {words}. With that the notification is OPENED." in [line.text for line in told.lines]
    assert (await posted(hooks))[str(sent.id)]["reported_by"] == (None if of_provider else reporter)
