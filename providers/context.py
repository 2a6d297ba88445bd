"""What bootstrap hands to every adapter's `build`; each takes what it needs."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar
from uuid import UUID

from config_sources import ProviderSettings
from domain.evidence import ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.transport import Transport

S = TypeVar("S", bound=ProviderSettings)


class Inbox(Protocol):
    async def put(self, message: OutgoingMessage) -> None:
        """Write the row; writing it again changes nothing."""


class SandboxStore(Protocol):
    async def count_call(self, message: OutgoingMessage) -> int:
        """Note a call and say which one it is for this delivery and endpoint, from 1."""

    async def accept(
        self, message: OutgoingMessage, receipts: list[tuple[ReceiptKind, timedelta]], *, is_call: bool
    ) -> UUID:
        """Keep the message and what is to be reported of it, after which time; its id. `is_call`: note the call too."""

    async def find(self, message: OutgoingMessage) -> list[UUID]:
        """Ids of what was kept of this attempt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderContext:
    """`guarded` goes to addresses that users choose, as far as `Targets` allow it. `secret` is the installation's, to
    derive keys from; `receipts_url` maps a provider's name to where its vendor reports."""

    transport: Transport
    guarded_transport: Transport
    secret: bytes
    receipts_url: Callable[[str], str]
    inbox: Inbox
    sandbox_store: SandboxStore

    def load_settings(self, settings: type[S]) -> S:
        """Read from the environment by the class's `env_prefix`. Raises InvalidSettings."""
        return settings.read()
