"""Define the audit log: who changed which configuration, and its values before and after."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field, SQLModel

from domain.json_types import Json
from models.columns import json_column, new_id, time_column


class AuditEntry(SQLModel, table=True):
    """Store one change of the configuration of `tenant`. `before` and `after` contain only the members that differ,
    with secrets and personal data masked. Written only by `storage/audit.py`."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        CheckConstraint("actor_kind IN ('key', 'installation', 'cli')", name="actor_kind_known"),
        Index("audit_entry_of_tenant", "tenant", "id"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    at: datetime = time_column(nullable=False)
    actor_kind: str
    actor_id: UUID | None = None
    actor_name: str
    action: str
    subject: str
    before: Json | None = json_column(nullable=True)
    after: Json | None = json_column(nullable=True)
