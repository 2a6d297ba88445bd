"""Define audit entries: who acted and what changed, without secrets and personal data."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from domain.json_types import Json

MASK = "***"
# Members of any object, at any depth.
MASKED_MEMBERS = frozenset(
    {
        *("secret", "previous_secret", "token", "hash", "chat_url"),
        *("email", "phone", "address", "subscription", "attributes", "payload"),
        *("recipient", "recipient_id", "recipients", "tag", "tags"),
    }
)
URL_MEMBERS = frozenset({"url", "webhook_url"})
MAX_JSON_LENGTH = 16_384  # characters of JSON of `before` and of `after`


class ActorKind(StrEnum):
    """The kind of actor. `installation`: a key of the installation's own tenant that acted on another tenant."""

    KEY = "key"
    INSTALLATION = "installation"
    CLI = "cli"


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Identify a key with its tenant, or the command line, whose `name` is that of the operating system's user."""

    name: str
    key_id: UUID | None = None
    tenant: UUID | None = None

    def kind_for(self, tenant: UUID) -> ActorKind:
        if self.key_id is None:
            return ActorKind.CLI
        return ActorKind.KEY if self.tenant == tenant else ActorKind.INSTALLATION


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditChange:
    """Describe one change of the configuration of `tenant`. `before` None: created; `after` None: removed."""

    tenant: UUID
    actor: Actor
    action: str
    subject: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Identify the API key of a request, with what its tenant has set for sends."""

    tenant: UUID
    key_id: UUID
    key_name: str
    scopes: frozenset[str]
    default_language: str
    phone_regions: frozenset[str] | None = None
    email_domains: frozenset[str] = frozenset()

    @property
    def actor(self) -> Actor:
        """Return the caller as the audit log names it."""
        return Actor(name=self.key_name, key_id=self.key_id, tenant=self.tenant)

    def change(
        self,
        action: str,
        subject: str,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> AuditChange:
        """Return a change of `subject`, which is `<kind>/<key or id>`, in the caller's tenant."""
        return AuditChange(
            tenant=self.tenant, actor=self.actor, action=action, subject=subject, before=before, after=after
        )


def changed_members(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[Json | None, Json | None]:
    """Return the members that differ, masked. Two empty objects mean that nothing has changed."""
    if before is None or after is None:
        return _masked_and_limited(before), _masked_and_limited(after)
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return _masked_and_limited({n: before[n] for n in names if n in before}), _masked_and_limited(
        {n: after[n] for n in names if n in after}
    )


def mask_values(value: Any, name: str = "") -> Any:
    """Mask the values of members that are secret or personal, and the part of a URL after its host."""
    if value is None:
        return None
    if name in MASKED_MEMBERS:
        return MASK
    if name in URL_MEMBERS and isinstance(value, str):
        return _origin(value)
    if isinstance(value, Mapping):
        return {str(member): mask_values(each, str(member)) for member, each in value.items()}
    if isinstance(value, list | tuple):
        return [mask_values(each) for each in value]
    return value


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname}/{MASK}" if parts.hostname else MASK
    except ValueError:
        return MASK


def _masked_and_limited(value: Mapping[str, Any] | None) -> Json | None:
    if value is None:
        return None
    shown: Json = mask_values(value)
    length = len(json.dumps(shown, default=str))
    return shown if length <= MAX_JSON_LENGTH else {"omitted": f"{length} characters"}
