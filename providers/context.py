"""Define the objects that bootstrap passes to the `build` method of every adapter."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar
from uuid import UUID

from config.sources import ProviderSettings
from domain.evidence import ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.transport import Transport

S = TypeVar("S", bound=ProviderSettings)


class Inbox(Protocol):
    async def put(self, message: OutgoingMessage) -> None:
        """Write the row. Idempotent."""


class SandboxStore(Protocol):
    async def count_call(self, message: OutgoingMessage) -> int:
        """Record a call and return its number, from 1, for this delivery and endpoint."""

    async def accept(
        self, message: OutgoingMessage, receipts: list[tuple[ReceiptKind, timedelta]], *, is_call: bool
    ) -> UUID:
        """Store the message with its planned receipts, each with a delay, and return its id. `is_call`: record the call
        too.
        """

    async def find(self, message: OutgoingMessage) -> list[UUID]:
        """Return the ids of the messages stored for this attempt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderContext:
    """Hold the dependencies of the adapters.

    `guarded_transport` sends to URLs that users choose, as far as `GuardedBackend` allows. `http2_transport` is for
    vendors that require HTTP/2. `secret` is the
    installation's secret, from which keys are derived. `receipts_url` maps a provider name to the URL of its vendor's
    callbacks.
    """

    transport: Transport
    guarded_transport: Transport
    http2_transport: Transport
    secret: bytes
    receipts_url: Callable[[str], str]
    inbox: Inbox
    sandbox_store: SandboxStore

    def load_settings(self, settings: type[S]) -> S:
        """Load the settings from the environment by the class's `env_prefix`. Raises InvalidSettings."""
        return settings.read()
