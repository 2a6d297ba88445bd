"""`tocsin providers check`: whether an adapter's settings are complete and its vendor knows our credentials."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable
from uuid import uuid4

import bootstrap
from commands.errors import CommandError
from config import Settings
from domain.channels import Channel, DeviceKind
from domain.outgoing import Message
from providers.base import Provider
from providers.outcomes import Accepted, ProviderError
from providers.registry import PROVIDERS
from providers.transport import outgoing_client
from storage.database import Database

TRIVIAL = {
    "sandbox": "sandbox: there is nothing to check; it reaches nobody and takes everything.",
    "in_app": "in_app: there is nothing to check; it writes inbox rows into the database.",
}
ADDRESS = {Channel.EMAIL: "email", Channel.SMS: "phone", Channel.WEBHOOK: "url", Channel.PUSH: "token"}
TEXT = "A test message from Tocsin."
CONTENT: dict[Channel, dict[str, Any]] = {
    Channel.EMAIL: {"subject": "Tocsin", "html": f"<p>{TEXT}</p>", "text": TEXT},
    Channel.SMS: {"text": TEXT},
}


@runtime_checkable
class AsksItsVendor(Protocol):
    """An adapter whose vendor has a call that proves credentials and sends nothing."""

    async def check(self) -> str:
        """What the vendor said, as a short sentence. Raises ProviderError."""


async def check(settings: Settings, name: str, send_to: str | None) -> str:
    """A sentence. Raises CommandError with what is wrong."""
    if name not in PROVIDERS:
        raise CommandError(f"unknown provider: {name}; there are {', '.join(sorted(PROVIDERS))}")
    if name in TRIVIAL:
        return TRIVIAL[name]
    async with _built(settings, name) as provider:
        try:
            if send_to:
                return await _send(provider, send_to)
            if isinstance(provider, AsksItsVendor):
                return f"{name}: {await provider.check()}"
        except ProviderError as error:
            raise CommandError(f"{name}: {type(error).__name__.lower()} error: {error.reason}") from None
    return (
        f"{name}: the settings are complete. Whether the vendor takes these credentials shows only when something is "
        "sent: --send-to ADDRESS"
    )


@asynccontextmanager
async def _built(settings: Settings, name: str) -> AsyncIterator[Provider]:
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url or "postgresql+asyncpg://nobody@127.0.0.1:1/none")
        stack.push_async_callback(database.close)
        http = await stack.enter_async_context(outgoing_client())
        try:
            provider = PROVIDERS[name].build(bootstrap.tools_of(settings, database, http, http))
        except ValueError as error:
            raise CommandError(f"{name}: {error}") from None
        yield provider


async def _send(provider: Provider, address: str) -> str:
    """To the first channel of the provider, outside of any notification: nothing of it is kept."""
    channel = min(provider.channels & set(ADDRESS))
    outcome = await provider.send(
        Message(
            attempt_id=uuid4(),
            delivery_id=uuid4(),
            notification_id=uuid4(),
            tenant=uuid4(),
            recipient_id="providers-check",
            notification_type="providers-check",
            created_at=datetime.now(UTC),
            channel=channel,
            endpoint_id=str(channel),
            address={ADDRESS[channel]: address},
            content=CONTENT.get(channel, {"title": "Tocsin", "body": TEXT}),
            device_kind=DeviceKind.FCM if channel is Channel.PUSH else None,
        )
    )
    if not isinstance(outcome, Accepted):
        raise CommandError(f"{provider.name}: the recipient was refused: {outcome.reason}")
    return f"{provider.name}: accepted, message id {outcome.message_id}"
