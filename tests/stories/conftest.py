"""Fixtures of several stories: every misbehaviour of the sandbox, an installation without a worker, a second tenant."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import TextClause, text

from bootstrap import open_container
from providers import sandbox
from testing.installation import running_api
from tests.engine import ApiTenant, Engine, engine_servers, open_api_tenant
from tests.polling import eventually

WORDS = ("refuse", "error", "flaky", "throttle", "lost", "hang", "broken", "silent", "open")
CHANNEL_NAMES = ("email", "sms", "push", "webhook")
RECEIPT_DELAY = timedelta(hours=1)
# For fixtures of the session, which are made before `late_receipts`.
POSTPONE_RECEIPTS = """
UPDATE sandbox_receipt r SET due_at = now() + interval '1 hour' FROM sandbox_message m
 WHERE m.id = message_id AND notification_id = ANY(CAST(:ids AS uuid[]))"""


@dataclass(frozen=True, kw_only=True)
class SandboxFailures:
    """Every misbehaviour, requested at once and awaited test by test: together they take as long as one.

    Ids of notifications, by (place, word) under `at_most_once`, and by a name for the others.
    """

    api_tenant: ApiTenant
    asked: dict[tuple[str, str], str]
    others: dict[str, str]

    async def finished(self, place: str, word: str) -> dict[str, Any]:
        return await self.api_tenant.wait_until_finished(self.asked[place, word])

    async def in_outbox(self, id: str) -> list[dict[str, Any]]:
        """What the sandbox "delivered" of it."""
        person = (await self.api_tenant.notification(id))["recipient_id"]
        return [
            message
            for message in await self.api_tenant.list_outbox(recipient_id=person)
            if message["notification_id"] == id
        ]


@pytest.fixture(scope="module", autouse=True)
def late_receipts() -> Iterator[None]:
    """Hold back the receipts of lost answers until a test wants them, however slow the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "LOST_RECEIPT_DELAY", RECEIPT_DELAY)
        yield


@pytest.fixture(scope="session")
async def sandbox_failures(engine: Engine) -> AsyncIterator[SandboxFailures]:
    async with open_api_tenant(engine) as api_tenant:
        # Time for three attempts (at 0, 1 and 3 s) and not for a fourth (at 7 s).
        for place in CHANNEL_NAMES:
            await api_tenant.put_type(f"by-{place}", [place], delivery_guarantee="at_most_once")
            await api_tenant.put_type(
                f"briefly-by-{place}", [place], delivery_guarantee="at_most_once", give_up_after="6s"
            )
        await api_tenant.put_type("again", ["email"], delivery_guarantee="at_least_once", give_up_after="20s")
        await api_tenant.put_type("ask", ["email"], delivery_guarantee="reconcile", give_up_after="8s")
        await api_tenant.put_type("fallback", ["email"], ["sms"])
        await asyncio.gather(*(_person(api_tenant, word, number) for number, word in enumerate(WORDS, start=1)))
        pairs = [(place, word) for place in CHANNEL_NAMES for word in WORDS]
        ids = await asyncio.gather(*(api_tenant.send(_type_for(place, word), f"mr-{word}") for place, word in pairs))
        await api_tenant.put_recipient("mr-halfway", email="halfway+error@example.com", phone="+447700900123")
        others = {
            "lost at_least_once": await api_tenant.send("again", "mr-lost"),
            "lost reconcile": await api_tenant.send("ask", "mr-lost"),
            "hang reconcile": await api_tenant.send("ask", "mr-hang"),
            "error with a later step": await api_tenant.send("fallback", "mr-halfway"),
        }
        await _drop_receipts(api_tenant, others["lost reconcile"])
        lost = [id for (_, word), id in zip(pairs, ids, strict=True) if word == "lost"]
        await eventually(lambda: api_tenant.engine.sql(POSTPONE_RECEIPTS, ids=lost), len(lost).__eq__)
        yield SandboxFailures(api_tenant=api_tenant, asked=dict(zip(pairs, ids, strict=True)), others=others)


@pytest.fixture
async def engine_without_worker(database_url: str, tmp_path: Path) -> AsyncIterator[Engine]:
    """Servers and an API without a worker."""
    async with (
        engine_servers(database_url, tmp_path) as (settings, client),
        open_container(settings, client=client, role="worker") as container,
        running_api(container),
    ):
        yield Engine(container=container, temporal_address=settings.temporal_address)


@pytest.fixture
async def other_api_tenant(engine: Engine) -> AsyncIterator[ApiTenant]:
    async with open_api_tenant(engine) as api_tenant:
        yield api_tenant


def _type_for(place: str, word: str) -> str:
    return f"briefly-by-{place}" if word == "error" else f"by-{place}"


async def _drop_receipts(api_tenant: ApiTenant, id: str) -> None:
    """As if the vendor never reported it, so that only a look-up can find what was accepted."""
    accepted = text("SELECT count(*) FROM sandbox_message WHERE notification_id = :id")
    receipts = text(
        "DELETE FROM sandbox_receipt r USING sandbox_message m WHERE m.id = message_id AND notification_id = :id"
    )

    async def run(statement: TextClause) -> Any:
        async with api_tenant.engine.container.database.transaction() as session:
            return await session.execute(statement, {"id": id})

    await eventually(lambda: run(accepted), lambda found: found.scalar_one() == 1)
    await run(receipts)


async def _person(api_tenant: ApiTenant, word: str, number: int) -> None:
    """Misbehaves wherever they are written to."""
    await api_tenant.put_recipient(
        f"mr-{word}",
        email=f"somebody+{word}@example.com",
        phone=f"+1555000{number:04}",
        webhook_url=f"https://hooks.example.com/{word}",
    )
    await api_tenant.put_device(f"mr-{word}", "phone", f"device-{word}-1")
