"""Whether adapters' settings are complete, before `make run` starts anything, and, for `tocsin providers check`,
whether a vendor knows our credentials."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import bootstrap
from commands.errors import CommandError
from commands.here import CHECKOUT
from config import Settings
from config_sources import WrongSettings
from domain.channels import Channel, DeviceKind
from domain.outgoing import Message
from providers.base import Provider
from providers.outcomes import Accepted, ProviderError, Refused, Unknown
from providers.registry import PROVIDERS
from providers.tools import Tools
from providers.transport import outgoing_client
from storage.database import Database

# Nobody outside can be asked.
TRIVIAL = {
    "sandbox": "there is nothing to check; it reaches nobody and takes everything.",
    "in_app": "there is nothing to check; it writes inbox rows into the database.",
    "webhook": "there is nothing to ask; each receiver is somebody else's. --send-to URL posts one message.",
}
# Their sends are rows in our own database.
REACH_NOBODY = {"sandbox", "in_app"}
ADDRESS = {Channel.EMAIL: "email", Channel.SMS: "phone", Channel.WEBHOOK: "url", Channel.PUSH: "token"}
TEXT = "A test message from Tocsin."
CONTENT: dict[Channel, dict[str, Any]] = {
    Channel.EMAIL: {"subject": "Tocsin", "html": f"<p>{TEXT}</p>", "text": TEXT},
    Channel.SMS: {"text": TEXT},
}


async def check(settings: Settings, name: str, send_to: str | None) -> str:
    """A sentence. Raises CommandError with what is wrong."""
    if name not in PROVIDERS:
        raise CommandError(f"unknown provider: {name}; there are {', '.join(sorted(PROVIDERS))}")
    if name in REACH_NOBODY or (name in TRIVIAL and not send_to):
        return f"{name}: {TRIVIAL[name]}"
    async with _tools(settings) as tools:
        try:
            provider = PROVIDERS[name].build(tools)
            return f"{name}: {await (_send(provider, send_to) if send_to else provider.check())}"
        except WrongSettings as error:
            raise CommandError(f"{name}: {error}{_no_dotenv_here()}") from None
        except ProviderError as error:
            raise CommandError(f"{name}: {type(error).__name__.lower()} error: {error.reason}") from None


async def complete(settings: Settings) -> None:
    """Builds the providers of all pools, as every process will. Raises CommandError with what is missing or wrong."""
    try:
        await bootstrap.check_settings(settings)
    except WrongSettings as error:
        raise CommandError(*error.lines) from None


def _no_dotenv_here() -> str:
    elsewhere = CHECKOUT / ".env"
    return f" (there is no .env here, but {elsewhere})" if elsewhere.exists() and not Path(".env").exists() else ""


@asynccontextmanager
async def _tools(settings: Settings) -> AsyncIterator[Tools]:
    """As bootstrap makes them, so that a webhook meets the same guard; nothing of it needs the database."""
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url or bootstrap.NO_DATABASE)
        stack.push_async_callback(database.close)
        http = await stack.enter_async_context(outgoing_client())
        chosen = await stack.enter_async_context(bootstrap.chosen_client(settings))
        yield bootstrap.tools_of(settings, database, http, chosen)


async def _send(provider: Provider, address: str) -> str:
    """To the first channel of the provider, outside of any notification: nothing of it is kept."""
    outcome = await _within_deadline(provider, _message(min(provider.channels & set(ADDRESS)), address))
    if not isinstance(outcome, Accepted):
        raise CommandError(f"{provider.name}: the recipient was refused: {outcome.reason}")
    return f"accepted, message id {outcome.message_id}"


async def _within_deadline(provider: Provider, message: Message) -> Accepted | Refused:
    try:
        async with asyncio.timeout(provider.deadline):
            return await provider.send(message)
    except TimeoutError:
        raise Unknown("timeout") from None


def _message(channel: Channel, address: str) -> Message:
    return Message(
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
