"""Check provider settings: that they are complete before `make run`, and with `tocsin providers check` that the vendor
accepts our credentials."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

import bootstrap
from api.schemas.devices import Subscription
from commands.errors import CommandError
from commands.local_stack import CHECKOUT
from config import Settings
from config.sources import InvalidSettings
from domain.channels import Channel, DeviceKind
from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider
from providers.context import ProviderContext
from providers.http_clients import open_http_clients
from providers.outcomes import (
    PermanentError,
    ProviderAcceptance,
    ProviderError,
    ProviderRefusal,
    TemporaryError,
    UnknownOutcome,
)
from providers.registry import available_providers
from storage.database import Database

# Providers without a vendor that can be checked.
NOTHING_TO_CHECK = {
    "sandbox": "there is nothing to check; it sends nothing outside and accepts everything.",
    "in_app": "there is nothing to check; it writes inbox rows into the database.",
    "chat": "there is nothing to check; each recipient has its own URL. --send-to URL posts one message.",
    "webhook": "there is nothing to check; each receiver has its own URL. --send-to URL posts one message.",
    "web_push": "there is nothing to check; each browser has its own push service. --send-to JSON sends a message to "
    "the subscription of a browser.",
}
# Their sends are rows in our database.
INTERNAL_PROVIDERS = {"sandbox", "in_app"}
ERROR_TITLES: dict[type[ProviderError], str] = {
    TemporaryError: "temporary error",
    PermanentError: "permanent error",
    UnknownOutcome: "unknown outcome",
}
ADDRESS_FIELDS = {
    Channel.EMAIL: "email",
    Channel.SMS: "phone",
    Channel.WEBHOOK: "url",
    Channel.CHAT: "url",
    Channel.PUSH: "token",
    Channel.WEB_PUSH: "subscription",
}
DEVICE_KINDS = {Channel.PUSH: DeviceKind.FCM, Channel.WEB_PUSH: DeviceKind.WEB_PUSH}
TEST_TEXT = "A test message from Tocsin."
TEST_CONTENT: dict[Channel, dict[str, Any]] = {
    Channel.EMAIL: {"subject": "Tocsin", "html": f"<p>{TEST_TEXT}</p>", "text": TEST_TEXT},
    Channel.SMS: {"text": TEST_TEXT},
}


async def check_named_provider(settings: Settings, name: str, send_to: str | None) -> str:
    """Return the result as a sentence. Raise CommandError with the problem."""
    provider_class = _find_provider(name)
    if name in INTERNAL_PROVIDERS or (name in NOTHING_TO_CHECK and not send_to):
        return f"{name}: {NOTHING_TO_CHECK[name]}"
    async with _open_provider_context(settings) as tools:
        try:
            provider = provider_class.build(tools)
            return f"{name}: {await (_send_test(provider, send_to) if send_to else provider.check())}"
        except InvalidSettings as error:
            raise CommandError(f"{name}: {error}{_dotenv_hint()}") from None
        except ProviderError as error:
            raise CommandError(f"{name}: {_error_title(error)}: {error.reason}") from None


def _error_title(error: ProviderError) -> str:
    return next(title for error_class, title in ERROR_TITLES.items() if isinstance(error, error_class))


def _find_provider(name: str) -> type[Provider]:
    try:
        available = available_providers()
    except InvalidSettings as error:
        raise CommandError(str(error)) from None
    if name not in available:
        raise CommandError(f"unknown provider: {name}; choose from {', '.join(sorted(available))}")
    return available[name]


async def require_complete_settings(settings: Settings) -> None:
    """Build the providers of all pools, like every process. Raise CommandError with missing or invalid settings."""
    try:
        await bootstrap.check_settings(settings)
    except InvalidSettings as error:
        raise CommandError(*error.lines) from None


def _dotenv_hint() -> str:
    dotenv = CHECKOUT / ".env"
    return f" (there is no .env here, but {dotenv})" if dotenv.exists() and not Path(".env").exists() else ""


@asynccontextmanager
async def _open_provider_context(settings: Settings) -> AsyncIterator[ProviderContext]:
    """Open the context that bootstrap builds, so that a webhook has the same network guard. It does not need the
    database."""
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url or bootstrap.UNUSED_DATABASE_URL)
        stack.push_async_callback(database.close)
        clients = await stack.enter_async_context(open_http_clients(settings.targets))
        yield bootstrap.build_provider_context(settings, database, clients)


async def _send_test(provider: Provider, address: str) -> str:
    """Send a test message by the first channel of the provider, without a notification. Nothing is stored."""
    outcome = await _send_within_deadline(
        provider, _test_message(min(provider.channels & set(ADDRESS_FIELDS)), address)
    )
    if not isinstance(outcome, ProviderAcceptance):
        raise CommandError(f"{provider.name}: the recipient was refused: {outcome.reason}")
    return f"accepted, message id {outcome.message_id}"


async def _send_within_deadline(provider: Provider, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
    try:
        async with asyncio.timeout(provider.deadline):
            return await provider.send(message)
    except TimeoutError:
        raise UnknownOutcome("timeout") from None


def _test_message(channel: Channel, address: str) -> OutgoingMessage:
    return OutgoingMessage(
        attempt_id=uuid4(),
        delivery_id=uuid4(),
        notification_id=uuid4(),
        tenant=uuid4(),
        recipient_id="providers-check",
        notification_type="providers-check",
        created_at=datetime.now(UTC),
        channel=channel,
        endpoint_id=str(channel),
        address={ADDRESS_FIELDS[channel]: _parse_subscription(address) if channel is Channel.WEB_PUSH else address},
        content=TEST_CONTENT.get(channel, {"title": "Tocsin", "body": TEST_TEXT}),
        device_kind=DEVICE_KINDS.get(channel),
    )


def _parse_subscription(text: str) -> Json:
    try:
        return Subscription.model_validate_json(text).model_dump(exclude={"expirationTime"})
    except ValidationError:
        raise CommandError("--send-to must be the JSON of a browser's subscription: endpoint, keys") from None
