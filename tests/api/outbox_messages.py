"""Deliver messages to the outbox of a tenant."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

from bootstrap import Container
from config import Settings
from models.sandbox import SandboxMessage
from storage.sandbox import secret_owner_of
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.storage.recipient_histories import StoredHistory

PAGE = "http://localhost:8000/outbox"
UI = "http://127.0.0.1:8233"
EMAIL_OPTIONS = {
    "sender": {"email": "orders@shop.example", "name": "Orders"},
    "reply_to": {"email": "help@shop.example", "name": ""},
    "cc": ["bob@example.com", "cleo@example.com"],
    "bcc": ["archive@example.com"],
    "headers": {"X-Order": "4711"},
    "attachments": [{"name": "invoice.pdf", "content_type": "application/pdf", "size": 12_345}],
}


@asynccontextmanager
async def open_outbox_tenant(container: Container) -> AsyncIterator[ApiTenant]:
    settings = Settings(env="dev", temporal_ui_url=f"{UI}/", _env_file=None)
    async with open_in_process_tenant(container, settings=settings) as api_tenant:
        # The page shows all tenants.
        yield replace(api_tenant, recipient_id=f"recipient-{uuid4()}")


async def deliver(
    api_tenant: ApiTenant,
    known: StoredHistory,
    channel: str,
    content: dict[str, Any],
    address: dict[str, Any],
    email_options: dict[str, Any] | None = None,
) -> None:
    id = uuid4()
    row = SandboxMessage(
        id=id,
        tenant=known.tenant,
        recipient_id=known.recipient_id,
        notification_id=known.notification_id,
        delivery_id=known.delivery_id,
        attempt_id=uuid4(),
        endpoint_id=channel,
        channel=channel,
        address=api_tenant.database.encryption.encrypt_members(address, secret_owner_of(known.tenant, id)),
        content=content,
        email_options=email_options,
    )
    async with api_tenant.database.transaction() as session:
        session.add(row)
