"""Test that the notification, its timeline, `explain`, `/failures` and the event webhook show the same status."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from api.notification_views import notification_view
from api.routes.explanations import build_explanation
from api.routes.failures import failure_group
from api.schemas.explanations import Explanation
from config import Settings
from domain.clock import now
from domain.evidence import AttemptState, Reporter
from domain.failure_reasons import REASONS, code_text, is_account_code
from domain.ledger import close_delivery, finish_notification
from domain.reasons import Reason, category_of, reason_line, reason_sentence, reason_with_cause
from domain.records import DeliveryDecision, Ledger
from domain.statuses import DeliveryStatus, NotificationStatus
from storage import dead_letters, notification_types, notifications
from storage.database import Database
from storage.ledgers import amend
from storage.notifications import NotificationFilter
from tests.dispatch.webhook_tenants import WebhookTenant, open_webhook_tenant
from tests.storage.sends import DatabaseSend
from tests.storage.test_receipt_batches import apply_waiting, claimed, receipt, store

pytestmark = pytest.mark.postgres

SETTINGS = Settings(env="dev", _env_file=None)
Shown = dict[str, Any]


@pytest.fixture
async def webhook_tenant(database: Database) -> AsyncIterator[WebhookTenant]:
    async with database.transaction() as session:
        await session.execute(text("TRUNCATE receipt"))
    async with open_webhook_tenant(database) as webhook_tenant:
        await webhook_tenant.endpoint("all", "http://127.0.0.1:9/", "notification.failed", "notification.opened")
        yield webhook_tenant


async def shown(sent: DatabaseSend) -> tuple[Shown, Explanation]:
    """Return the notification as the API shows it, and its explanation."""
    async with sent.database_tenant.database.transaction() as session:
        record = await notifications.read_record(session, sent.database_tenant.tenant, sent.id, now())
        assert record is not None
        notification_type = await notification_types.find_by_id(
            session, sent.database_tenant.tenant, record.notification.type_id
        )
    assert notification_type is not None
    view = notification_view(record, SETTINGS).model_dump(mode="json")
    return view, build_explanation(record, notification_type, (), SETTINGS)


async def groups(webhook_tenant: WebhookTenant) -> dict[str, tuple[str | None, str | None]]:
    """Return channel and category of each reason that `/failures` lists."""
    async with webhook_tenant.database.transaction() as session:
        found = await dead_letters.list_failure_groups(
            session, webhook_tenant.tenant, NotificationFilter(), after=None, limit=200
        )
    listed = [failure_group(one) for one in found]
    return {one.reason: (one.channel, one.category) for one in listed}


async def posted(webhook_tenant: WebhookTenant) -> dict[str, Shown]:
    """Return the events that the webhook received for each notification."""
    bodies = [json.loads(message["body"])["data"] for message in await webhook_tenant.messages("all")]
    return {body["notification_id"]: body for body in bodies}


async def agree(webhook_tenant: WebhookTenant, ends: list[tuple[DatabaseSend, Reason]]) -> None:
    listed, events = await groups(webhook_tenant), await posted(webhook_tenant)
    for sent, reason in ends:
        view, explanation = await shown(sent)
        [delivery] = view["deliveries"]
        [event] = [entry for entry in view["timeline"] if entry["status"] == "FAILED"]
        reason_text, category = reason_line(reason), category_of(reason)
        assert (view["failure_reason"], view["failure_category"]) == (f"email: {reason_text}", category)
        assert view["failures"] == [{"channel": "email", "code": reason.code, "args": reason.args}]
        assert (delivery["failure_reason"], delivery["failure_category"]) == (reason_text, category)
        detail = event["detail"] or {}
        assert (event["reason"], detail.get("category")) == (reason_text, category)
        assert reason.args.items() <= detail.items()
        assert listed[reason_text] == ("email", category)
        assert (events[str(sent.id)]["reason"], events[str(sent.id)]["category"]) == (f"email: {reason_text}", category)
        assert f"(email: {reason_sentence(reason)})." in explanation.summary


async def test_every_reported_reason_is_the_same_on_each_surface(webhook_tenant: WebhookTenant) -> None:
    reported = [(await claimed(webhook_tenant), code) for code in (*REASONS, None)]
    for sent, code in reported:
        await sent.answer(AttemptState.ACCEPTED, str(sent.id))
        async with webhook_tenant.database.transaction() as session:
            await amend(session, sent.ref, lambda ledger: finish_notification(ledger, now()))
        await store(webhook_tenant.database, receipt("failed", attempt_id=sent.attempt(), reason=code))
    await apply_waiting(webhook_tenant.database)
    ends = [
        (sent, reason_with_cause("provider_failed" if is_account_code(code) else "bounced", code))
        for sent, code in reported
    ]
    await agree(webhook_tenant, ends)
    for (_, code), (sent, _) in zip(reported, ends, strict=True):
        assert code is None or code_text(code) in (await shown(sent))[1].summary
    async with webhook_tenant.database.transaction() as session:
        await session.execute(text("DELETE FROM provider_health WHERE provider = 'sandbox'"))


OWN = [
    reason_with_cause("refused", "too_large"),
    reason_with_cause("refused", "refused_recipient"),
    reason_with_cause("refused", "status_404"),
    reason_with_cause("provider_failed", "credentials_refused"),
    reason_with_cause("template_error", "'name' is undefined in body, line 3"),
    Reason("no_address"),
    Reason("no_template"),
    Reason("no_provider"),
]


async def test_every_final_status_is_the_same_in_each_response(webhook_tenant: WebhookTenant) -> None:
    ends = []
    for reason in OWN:
        sent = await webhook_tenant.send()
        decision = DeliveryDecision(status=DeliveryStatus.FAILED, reason=reason)

        def ended(ledger: Ledger, sent: DatabaseSend = sent, decision: DeliveryDecision = decision) -> Ledger:
            return finish_notification(
                close_delivery(ledger, sent.delivery(), decision, now()), now(), NotificationStatus.FAILED
            )

        async with webhook_tenant.database.transaction() as session:
            await amend(session, sent.ref, ended)
        ends.append((sent, reason))
    await agree(webhook_tenant, ends)


@pytest.mark.parametrize(
    ("reporter", "words"),
    [
        (Reporter.APPLICATION, "the application reports that it was opened"),
        (Reporter.INBOX, "the inbox reports that it was opened"),
        (Reporter.TRACKING, "Tocsin's own tracking reports that it was opened"),
        ("sandbox", "sandbox reports that it was opened"),
    ],
)
async def test_an_opening_is_shown_with_its_reporter(webhook_tenant: WebhookTenant, reporter: str, words: str) -> None:
    sent = await claimed(webhook_tenant)
    await sent.answer(AttemptState.ACCEPTED, str(sent.id))
    await store(webhook_tenant.database, receipt("opened", attempt_id=sent.attempt(), provider=reporter))
    await apply_waiting(webhook_tenant.database)
    view, explanation = await shown(sent)
    [entry] = [entry for entry in view["timeline"] if entry["kind"] == "opened"]
    of_provider = reporter == "sandbox"
    assert entry["detail"] == {"provider" if of_provider else "reported_by": reporter, "receipt": "opened"}
    assert f"email: {words}. With that the notification is OPENED." in [line.text for line in explanation.lines]
    assert (await posted(webhook_tenant))[str(sent.id)]["reported_by"] == (None if of_provider else reporter)
