"""Define fixtures for several stories: all sandbox failures, an installation without a worker."""

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
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import Engine, engine_servers
from tests.polling import eventually

BEHAVIORS = ("refuse", "error", "flaky", "throttle", "lost", "hang", "broken", "silent", "open")
# The other channels differ only in how a contact point names the behavior, which the sandbox's own tests check.
CHANNELS = ("email", "push")
RECEIPT_DELAY = timedelta(hours=1)
# For fixtures of the session, which run before `late_receipts`.
POSTPONE_RECEIPTS = """
UPDATE sandbox_receipt r SET due_at = now() + interval '1 hour' FROM sandbox_message m
 WHERE m.id = message_id AND notification_id = ANY(CAST(:ids AS uuid[]))"""


@dataclass(frozen=True, kw_only=True)
class SandboxFailures:
    """Hold one notification per channel and sandbox behavior. All are sent together, so that they take as long as one.

    `ids` has the notifications under `at_most_once` by (channel, behavior), `extra_ids` the others by a name.
    """

    api_tenant: ApiTenant
    ids: dict[tuple[str, str], str]
    extra_ids: dict[str, str]

    async def wait_until_finished(self, channel: str, behavior: str) -> dict[str, Any]:
        return await self.api_tenant.wait_until_finished(self.ids[channel, behavior])

    async def list_outbox(self, id: str) -> list[dict[str, Any]]:
        """Return the messages of a notification that the sandbox accepted."""
        recipient_id = (await self.api_tenant.notification(id))["recipient_id"]
        return [
            message
            for message in await self.api_tenant.list_outbox(recipient_id=recipient_id)
            if message["notification_id"] == id
        ]


@pytest.fixture(scope="module", autouse=True)
def late_receipts() -> Iterator[None]:
    """Delay the receipts of lost responses until a test makes them due, also on a slow machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "LOST_RECEIPT_DELAY", RECEIPT_DELAY)
        yield


@pytest.fixture(scope="session")
async def sandbox_failures(engine: Engine) -> AsyncIterator[SandboxFailures]:
    async with open_api_tenant(engine) as api_tenant:
        # Time for three attempts (at 0, 1 and 3 s) and not for a fourth (at 7 s).
        for channel in CHANNELS:
            await api_tenant.put_type(f"by-{channel}", [channel], delivery_guarantee="at_most_once")
            await api_tenant.put_type(
                f"briefly-by-{channel}", [channel], delivery_guarantee="at_most_once", give_up_after="6s"
            )
        await api_tenant.put_type("resend", ["email"], delivery_guarantee="at_least_once", give_up_after="20s")
        await api_tenant.put_type("look-up", ["email"], delivery_guarantee="reconcile", give_up_after="8s")
        await api_tenant.put_type("fallback", ["email"], ["sms"])
        await asyncio.gather(
            *(
                _put_failing_recipient(api_tenant, behavior, number)
                for number, behavior in enumerate(BEHAVIORS, start=1)
            )
        )
        pairs = [(channel, behavior) for channel in CHANNELS for behavior in BEHAVIORS]
        ids = await asyncio.gather(
            *(api_tenant.send(_type_key_for(channel, behavior), f"failing-{behavior}") for channel, behavior in pairs)
        )
        await api_tenant.put_recipient(
            "failing-first-step", email="first-step+error@example.com", phone="+447700900123"
        )
        extra_ids = {
            "lost at_least_once": await api_tenant.send("resend", "failing-lost"),
            "lost reconcile": await api_tenant.send("look-up", "failing-lost"),
            "hang reconcile": await api_tenant.send("look-up", "failing-hang"),
            "error with a later step": await api_tenant.send("fallback", "failing-first-step"),
        }
        await _drop_receipts(api_tenant, extra_ids["lost reconcile"])
        lost = [id for (_, behavior), id in zip(pairs, ids, strict=True) if behavior == "lost"]
        await eventually(lambda: api_tenant.engine.sql(POSTPONE_RECEIPTS, ids=lost), len(lost).__eq__)
        yield SandboxFailures(api_tenant=api_tenant, ids=dict(zip(pairs, ids, strict=True)), extra_ids=extra_ids)


@pytest.fixture
async def engine_without_worker(database_url: str, tmp_path: Path) -> AsyncIterator[Engine]:
    """Run servers and an API without a worker."""
    async with (
        engine_servers(database_url, tmp_path) as (settings, client),
        open_container(settings, client=client, role="worker") as container,
        running_api(container),
    ):
        yield Engine(container=container, temporal_address=settings.temporal_address)


def _type_key_for(channel: str, behavior: str) -> str:
    return f"briefly-by-{channel}" if behavior == "error" else f"by-{channel}"


async def _drop_receipts(api_tenant: ApiTenant, id: str) -> None:
    """Delete a notification's receipts after it is accepted. Then only a lookup can find its message."""
    accepted = text("SELECT count(*) FROM sandbox_message WHERE notification_id = :id")
    receipts = text(
        "DELETE FROM sandbox_receipt r USING sandbox_message m WHERE m.id = message_id AND notification_id = :id"
    )

    async def run(statement: TextClause) -> Any:
        async with api_tenant.engine.container.database.transaction() as session:
            return await session.execute(statement, {"id": id})

    await eventually(lambda: run(accepted), lambda found: found.scalar_one() == 1)
    await run(receipts)


async def _put_failing_recipient(api_tenant: ApiTenant, behavior: str, number: int) -> None:
    """Put a recipient whose contact points all have one sandbox behavior."""
    await api_tenant.put_recipient(
        f"failing-{behavior}",
        email=f"recipient+{behavior}@example.com",
        phone=f"+1555000{number:04}",
        webhook_url=f"https://hooks.example.com/{behavior}",
    )
    await api_tenant.put_device(f"failing-{behavior}", "phone", f"device-{behavior}-1")
