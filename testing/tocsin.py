"""Provide the methods of the `tocsin` fixture. docs/testing.md describes them."""

import warnings
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from commands.apply import apply
from commands.client import ApiClient, open_api
from domain.clock import now
from domain.evidence import ReceiptKind
from domain.json_types import Json
from storage.api_keys import upsert_key
from storage.tenants import ensure_tenant
from testing.clock import TenantClock
from testing.installation import LocalInstallation
from testing.polling import eventually
from testing.rows import TenantRows

SCOPES = ("send", "read", "manage")


class NoSandboxMessage(Exception):
    """Signal that the sandbox has no message to report on."""


class Tocsin:
    """Control one tenant. Errors of the API are raised as `commands.client.ApiError`, with its text."""

    def __init__(self, installation: LocalInstallation, tenant: UUID, api: ApiClient) -> None:
        self._installation = installation
        self._api = api
        self._rows = TenantRows(installation.container.database, tenant)
        self._clock = TenantClock(self._rows, installation.workflows, installation.container.wake_receipt_applier)

    def apply(self, folder: Path | str) -> None:
        """Apply the types and templates of a folder like `tocsin apply`. Its warnings become Python warnings."""
        warning_lines: list[str] = []
        self._installation.run(
            apply(self._api, Path(folder), dry_run=False, print_line=lambda _: None, print_warning=warning_lines.append)
        )
        for line in warning_lines:
            warnings.warn(line, stacklevel=2)

    def put_recipient(self, recipient_id: str, **profile: Any) -> None:
        """Create or replace a recipient with `email`, `phone`, `locale`, `timezone`, `attributes`, `webhook_url` or
        `chat_url`.
        """
        self.call("PUT", f"/recipients/{recipient_id}", profile)

    def put_device(self, recipient_id: str, device: str, token: str, kind: str = "fcm") -> None:
        self.call("PUT", f"/recipients/{recipient_id}/devices/{device}", {"kind": kind, "token": token})

    def send(self, notification_type: str, recipient_id: str, payload: Json | None = None, **fields: Any) -> str:
        """Send and return the notification's id. `fields` are other fields of the request: `send_at`, `expires_in`,
        `channels`, …
        """
        body = {
            "notification_type": notification_type,
            "recipient_id": recipient_id,
            "payload": payload or {},
            **fields,
        }
        return str(self.call("POST", "/notifications/send", body)["id"])

    def cancel(self, id: str) -> Json:
        return self.call("POST", f"/notifications/{id}/cancel")

    def notification(self, id: str) -> Json:
        return self.call("GET", f"/notifications/{id}")

    def statuses(self, id: str) -> dict[str, str]:
        """Return the status of each channel that was attempted or skipped so far."""
        return {delivery["channel"]: delivery["status"] for delivery in self.notification(id)["deliveries"]}

    def outbox(self, **filters: str) -> list[Json]:
        """Return the sandbox's messages, oldest first, by `recipient_id`, `channel` or `notification_id`."""
        id = filters.pop("notification_id", None)
        items = self._installation.run(self._api.list_all("/outbox", **filters))
        return [item for item in reversed(items) if id in (None, item["notification_id"])]

    def wait_for_status(self, id: str, *statuses: str, within: float = 20) -> Json:
        """Return the notification as soon as it has one of the statuses, in real time, without skipping time."""
        look = partial(self._api.get, f"/notifications/{id}")
        return self._installation.run(eventually(look, lambda notification: notification["status"] in statuses, within))

    def report(self, id: str, kind: str, channel: str | None = None) -> None:
        """Let the sandbox report `delivered`, `opened`, `clicked`, `bounced`, `complained`, `failed` or `unsubscribed`
        for the messages of this notification.
        """
        if not self._installation.run(self._rows.report(UUID(id), ReceiptKind(kind), channel)):
            raise NoSandboxMessage(f"the sandbox has no message of {id}" + (f" by {channel}" if channel else ""))
        self.settle()

    def now(self) -> datetime:
        """Return the current time of this process: the machine's time plus the skipped time."""
        return now()

    def time_in(self, **time: float) -> str:
        """Return a time for `send_at`: `time_in(days=3)`."""
        return (now() + timedelta(**time)).isoformat()

    def settle(self) -> None:
        """Wait until nothing more happens without the passing of time."""
        self._installation.run(self._clock.settle())

    def advance(self, **time: float) -> None:
        """Skip time: `advance(days=3, hours=1)`. Everything that is due in between happens, in order."""
        self._installation.run(self._clock.advance(timedelta(**time)))

    def skip(self) -> timedelta:
        """Skip to the next moment at which something is due, and return the distance. Raises NothingScheduled."""
        return self._installation.run(self._clock.skip())

    def call(self, method: str, path: str, body: Any = None) -> Json:
        """Call any other endpoint below /api/v1."""
        return self._installation.run(self._api.call(method, path, body))


@contextmanager
def open_tenant(installation: LocalInstallation) -> Iterator[Tocsin]:
    """Create a tenant at the machine's time. Time skipped in the block is restored after it."""
    stack = AsyncExitStack()
    tocsin = installation.run(_create_tenant(installation, stack))
    try:
        yield tocsin
    finally:
        installation.run(stack.aclose())


async def _create_tenant(installation: LocalInstallation, stack: AsyncExitStack) -> Tocsin:
    container = installation.container
    async with container.database.transaction() as session:
        tenant = await ensure_tenant(session, uuid4().hex, "Test")
        _, key = await upsert_key(session, tenant.id, "test", SCOPES)
    clock = TenantClock(
        TenantRows(container.database, tenant.id), installation.workflows, container.wake_receipt_applier
    )
    await clock.reset()
    stack.push_async_callback(clock.reset)
    return Tocsin(installation, tenant.id, await stack.enter_async_context(open_api(container.settings.base_url, key)))
