"""Models of audit log entries."""

from typing import Annotated

from pydantic import Field

from api.schemas.base import Id, Model, Timestamp
from domain.audit import MASK, ActorKind
from domain.json_types import Json


class ActorView(Model):
    """`kind` is `key`, `installation` (a key of the installation's own tenant) or `cli` (the command line). Only keys
    of the installation's own tenant see `id` and `name` of `installation` and `cli`."""

    kind: ActorKind
    id: Id | None
    name: str | None


class AuditEntryView(Model):
    """One change. `before` is null for a creation, `after` for a removal. Otherwise both contain only the members that
    differ."""

    id: Id
    at: Timestamp
    tenant: Annotated[str, Field(description="Key of the tenant whose configuration changed.")]
    actor: ActorView
    action: Annotated[str, Field(examples=["key.created", "notification_type.saved"])]
    subject: Annotated[str, Field(examples=["notification_type/order.shipped"])]
    before: Annotated[Json | None, Field(description=f"Secrets and personal data are replaced by `{MASK}`.")]
    after: Annotated[Json | None, Field(description=f"Secrets and personal data are replaced by `{MASK}`.")]
