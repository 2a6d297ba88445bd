"""Why a provider did not deliver what it had accepted: kept in the rows."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from domain.clock import now
from domain.evidence import AttemptState
from domain.ledger import finish_notification
from metrics.registry import REGISTRY
from storage import provider_health
from storage.database import Database
from storage.ledgers import amend
from tests.dispatch.webhook_tenants import WebhookTenant, open_webhook_tenant
from tests.storage.sends import DatabaseSend, DatabaseTenant
from tests.storage.test_receipt_batches import apply_waiting, claimed, receipt, store

pytestmark = pytest.mark.postgres


@pytest.fixture
async def webhook_tenant(database: Database) -> AsyncIterator[WebhookTenant]:
    async with database.transaction() as session:
        await session.execute(text("TRUNCATE receipt"))
    async with open_webhook_tenant(database) as webhook_tenant:
        yield webhook_tenant


async def bounced(database_tenant: DatabaseTenant, *reasons: str | None, provider: str = "sandbox") -> DatabaseSend:
    """Accepted, finished, and then reported as not delivered, for each of the reasons."""
    sent = await claimed(database_tenant)
    await sent.answer(AttemptState.ACCEPTED, str(sent.id))
    async with database_tenant.database.transaction() as session:
        await amend(session, sent.ref, lambda ledger: finish_notification(ledger, now()))
    for reason in reasons:
        await store(
            database_tenant.database, receipt("failed", attempt_id=sent.attempt(), reason=reason, provider=provider)
        )
        await apply_waiting(database_tenant.database)
    return sent


async def test_the_rows_do_not_depend_on_the_order_of_the_receipts(webhook_tenant: WebhookTenant) -> None:
    words = ("unreachable", None, "mailbox_full")
    ends = [await bounced(webhook_tenant, *order) for order in permutations(words)]
    assert {(await sent.row())["failure_reason"] for sent in ends} == {"email: bounced: mailbox_full"}
    assert {row["receipt_reason"] for sent in ends for row in await sent.rows("attempt")} == {"mailbox_full"}


def counted(provider: str, reason: str) -> float:
    labels = {"provider": provider, "reason": reason}
    return REGISTRY.get_sample_value("tocsin_provider_account_errors_total", labels) or 0


async def test_a_reason_of_the_account_is_the_operators_and_the_providers(webhook_tenant: WebhookTenant) -> None:
    before = counted("sandbox", "account_suspended")
    sends = [await claimed(webhook_tenant) for _ in range(5)]
    for sent in sends:
        await sent.answer(AttemptState.ACCEPTED, str(sent.id))
    reported = [
        receipt("failed", attempt_id=sent.attempt(), reason="account_suspended", occurred_at=now()) for sent in sends
    ]
    await store(webhook_tenant.database, *reported)
    with capture_logs() as logs:
        await apply_waiting(webhook_tenant.database)
    errors: list[Any] = [entry for entry in logs if entry["log_level"] == "error"]
    assert [(entry["provider"], entry["reason"], entry["messages"]) for entry in errors] == [
        ("sandbox", "account_suspended", 5)
    ]
    assert counted("sandbox", "account_suspended") == before + 5
    async with webhook_tenant.database.transaction() as session:
        health = (await provider_health.read_health(session))["sandbox"]
        await session.execute(text("DELETE FROM provider_health WHERE provider = 'sandbox'"))
    assert (health.state, health.reason) == ("open", "errors")
    assert await webhook_tenant.query("SELECT 1 FROM suppression WHERE tenant = :t", t=webhook_tenant.tenant) == []


@pytest.mark.parametrize(
    ("reason", "age"), [("sender_not_registered", timedelta()), ("account_suspended", timedelta(hours=1))]
)
async def test_rare_or_old_reasons_open_no_circuit(webhook_tenant: WebhookTenant, reason: str, age: timedelta) -> None:
    sends = [await claimed(webhook_tenant) for _ in range(5)]
    for sent in sends:
        await sent.answer(AttemptState.ACCEPTED, str(sent.id))
    reported = [receipt("failed", attempt_id=each.attempt(), reason=reason, occurred_at=now() - age) for each in sends]
    await store(webhook_tenant.database, *reported)
    await apply_waiting(webhook_tenant.database)
    async with webhook_tenant.database.transaction() as session:
        health = (await provider_health.read_health(session)).get("sandbox")
    assert health is None or health.state == "closed"
