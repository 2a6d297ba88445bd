"""Answer keywords: at most once, in time, and only with a configured text."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from dispatch.sms_answerer import SmsAnswerer
from domain.inbound_messages import InboundMessage, Keyword
from metrics.registry import REGISTRY
from storage import inbound_messages, recipients
from storage.database import Database
from testing.vendors.modes import VendorMode
from tests.providers.harness_http import PREFIX
from tests.providers.harness_vonage import VonageBench
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres

TEXTS = {Keyword.HELP: "Call 5."}


@dataclass(frozen=True, kw_only=True)
class AnsweringTenant:
    """A tenant with one recipient, and Vonage, which treats the number according to `mode`."""

    database_tenant: DatabaseTenant
    bench: VonageBench

    def answerer(self, texts: Mapping[Keyword, str] = TEXTS, **providers: Any) -> SmsAnswerer:
        return SmsAnswerer(self.database_tenant.database, providers or {"vonage": self.bench.provider}, texts)

    async def receive(self, mode: VendorMode = VendorMode.GOOD, keyword: Keyword = Keyword.HELP) -> None:
        number = f"{PREFIX}{list(VendorMode).index(mode):02}{uuid4().int % 10**4:04}"
        message = InboundMessage(
            provider_message_id=str(uuid4()),
            from_number=number,
            to_number="+447700900001",
            text=keyword,
            keyword=keyword,
        )
        async with self.database_tenant.database.transaction() as session:
            profile = {"contact": {"phone": number}}
            await recipients.replace_profile(session, self.database_tenant.tenant, "ada", profile)
            assert await inbound_messages.store(session, "vonage", message, needs_answer=True) == 1

    async def row(self) -> dict[str, Any]:
        [row] = await self.database_tenant.query(
            "SELECT * FROM inbound_message WHERE tenant = :tenant", tenant=self.database_tenant.tenant
        )
        return row


@pytest.fixture
async def answering_tenant(database: Database) -> AsyncIterator[AnsweringTenant]:
    async with VonageBench.running() as bench:
        yield AnsweringTenant(database_tenant=await open_database_tenant(database), bench=bench)


def count_results(outcome: str) -> float:
    labels = {"provider": "vonage", "outcome": outcome}
    return REGISTRY.get_sample_value("tocsin_sms_answers_total", labels) or 0.0


async def test_concurrent_processes_send_an_answer_once(answering_tenant: AnsweringTenant) -> None:
    await answering_tenant.receive()
    before = count_results("accepted")
    await asyncio.gather(*(answering_tenant.answerer().answer_due() for _ in range(3)))
    assert len(answering_tenant.bench.vendor.log.calls) == 1
    row = await answering_tenant.row()
    assert (row["answer_until"], row["answered_at"] is not None) == (None, True)
    assert count_results("accepted") == before + 1


@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        (VendorMode.LOSES, "error"),
        (VendorMode.THROTTLES, "error"),
        (VendorMode.BREAKS, "error"),
        (VendorMode.REFUSES, "refused"),
    ],
)
async def test_an_answer_without_success_is_not_repeated(
    answering_tenant: AnsweringTenant, mode: VendorMode, outcome: str
) -> None:
    await answering_tenant.receive(mode)
    before = count_results(outcome)
    for _ in range(3):
        await answering_tenant.answerer().answer_due()
    assert len(answering_tenant.bench.vendor.log.calls) == 1
    assert count_results(outcome) == before + 1


async def test_an_answer_that_hangs_ends_at_the_deadline(
    answering_tenant: AnsweringTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(answering_tenant.bench.provider), "deadline", 0.2)
    await answering_tenant.receive(VendorMode.HANGS)
    before = count_results("error")
    async with asyncio.timeout(15):  # the transport waits 30 s
        await answering_tenant.answerer().answer_due()
    assert count_results("error") == before + 1


async def test_a_late_answer_is_dropped(answering_tenant: AnsweringTenant) -> None:
    await answering_tenant.receive()
    await answering_tenant.database_tenant.query(
        "UPDATE inbound_message SET answer_until = now() WHERE tenant = :tenant",
        tenant=answering_tenant.database_tenant.tenant,
    )
    await answering_tenant.answerer().answer_due()
    row = await answering_tenant.row()
    assert (row["answer_until"], row["answered_at"]) == (None, None)
    assert answering_tenant.bench.vendor.log.calls == []


async def test_a_keyword_without_a_text_is_not_answered(answering_tenant: AnsweringTenant) -> None:
    await answering_tenant.receive(keyword=Keyword.START)
    before = count_results("error")
    await answering_tenant.answerer().answer_due()
    assert (answering_tenant.bench.vendor.log.calls, count_results("error")) == ([], before + 1)


async def test_an_answer_of_a_provider_that_is_gone_fails(answering_tenant: AnsweringTenant) -> None:
    await answering_tenant.receive()
    before = count_results("error")
    await answering_tenant.answerer(sandbox=answering_tenant.bench.provider).answer_due()
    assert (answering_tenant.bench.vendor.log.calls, count_results("error")) == ([], before + 1)
