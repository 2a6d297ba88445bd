"""What a test says to Tocsin: the verbs of docs/testing.md."""

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
from storage.api_keys import ensure_tenant, upsert_key
from testing.clock import TenantClock
from testing.installation import LocalInstallation
from testing.polling import eventually
from testing.rows import TenantRows

SCOPES = ("send", "read", "manage")
Json = dict[str, Any]


class NoSandboxMessage(Exception):
    """The sandbox has no message to report of."""


class Tocsin:
    """One tenant. Refusals of the API are raised as `commands.client.Refusal`, with its words."""

    def __init__(self, installation: LocalInstallation, tenant: UUID, api: ApiClient) -> None:
        self._installation = installation
        self._api = api
        self._rows = TenantRows(installation.container.database, tenant)
        self._clock = TenantClock(self._rows, installation.workflows, installation.container.on_receipts)

    def apply(self, folder: Path | str) -> None:
        """Types and templates of a folder, as `tocsin apply` does it; its warnings become Python's."""
        warning_lines: list[str] = []
        self._installation.run(
            apply(self._api, Path(folder), dry_run=False, print_line=lambda _: None, print_warning=warning_lines.append)
        )
        for line in warning_lines:
            warnings.warn(line, stacklevel=2)

    def put_recipient(self, recipient_id: str, **profile: Any) -> None:
        """`email`, `phone`, `locale`, `timezone`, `attributes`, `webhook_url`."""
        self.call("PUT", f"/recipients/{recipient_id}", profile)

    def put_device(self, recipient_id: str, device: str, token: str, kind: str = "fcm") -> None:
        self.call("PUT", f"/recipients/{recipient_id}/devices/{device}", {"kind": kind, "token": token})

    def send(self, notification_type: str, recipient_id: str, payload: Json | None = None, **fields: Any) -> str:
        """The notification's id. `more` are other fields of the request: `send_at`, `expires_in`, `channels`, …"""
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
        """By channel, those that were tried or skipped so far."""
        return {delivery["channel"]: delivery["status"] for delivery in self.notification(id)["deliveries"]}

    def outbox(self, **filters: str) -> list[Json]:
        """What the sandbox delivered, oldest first; `recipient_id`, `channel`, `notification_id`."""
        id = filters.pop("notification_id", None)
        items = self._installation.run(self._api.list_all("/outbox", **filters))
        return [item for item in reversed(items) if id in (None, item["notification_id"])]

    def wait_for_status(self, id: str, *statuses: str, within: float = 20) -> Json:
        """As soon as it has one of the statuses, in real time, and without skipping any."""
        look = partial(self._api.get, f"/notifications/{id}")
        return self._installation.run(eventually(look, lambda notification: notification["status"] in statuses, within))

    def report(self, id: str, kind: str, channel: str | None = None) -> None:
        """Lets the sandbox say that what it has of this notification was `delivered`, `opened`, `clicked`, `bounced`,
        `complained`, `failed` or `unsubscribed`."""
        if not self._installation.run(self._rows.report(UUID(id), ReceiptKind(kind), channel)):
            raise NoSandboxMessage(f"the sandbox has nothing of {id}" + (f" by {channel}" if channel else ""))
        self.settle()

    def now(self) -> datetime:
        """Here; the machine's time and what was skipped."""
        return now()

    def time_in(self, **time: float) -> str:
        """For `send_at`: `later(days=3)`."""
        return (now() + timedelta(**time)).isoformat()

    def settle(self) -> None:
        """Until nothing happens any more but by the passing of time."""
        self._installation.run(self._clock.settle())

    def advance(self, **time: float) -> None:
        """`advance(days=3, hours=1)`: everything that is due meanwhile happens, in its order."""
        self._installation.run(self._clock.advance(timedelta(**time)))

    def skip(self) -> timedelta:
        """To the next moment at which something is due; how far that was. Raises NothingScheduled."""
        return self._installation.run(self._clock.skip())

    def call(self, method: str, path: str, body: Any = None) -> Json:
        """Anything else that the API can do, below /api/v1."""
        return self._installation.run(self._api.call(method, path, body))


@contextmanager
def open_tenant(installation: LocalInstallation) -> Iterator[Tocsin]:
    """A fresh one, at the machine's time; what is skipped in the block is given back after it."""
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
    clock = TenantClock(TenantRows(container.database, tenant.id), installation.workflows, container.on_receipts)
    await clock.reset()
    stack.push_async_callback(clock.reset)
    return Tocsin(installation, tenant.id, await stack.enter_async_context(open_api(container.settings.base_url, key)))
