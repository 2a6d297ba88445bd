"""Define template versions, and when each was published."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from domain.json_types import Json
from models.columns import json_column, new_id, time_column


class Template(SQLModel, table=True):
    """Store one immutable version of `(name, channel, language)`."""

    __table_args__ = (UniqueConstraint("tenant", "name", "channel", "language", "version"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    name: str
    channel: str
    language: str
    version: int
    subject_template: str | None = None
    body_template: str
    text_template: str | None = None
    push: Json | None = json_column(nullable=True)
    variables_schema: Json = json_column()
    created_at: datetime = time_column(nullable=False)
    updated_at: datetime = time_column(nullable=False)


class TemplatePublication(SQLModel, table=True):
    """Store one publication. Rows are only added: the newest row before a moment names the version that was published
    then."""

    __tablename__ = "template_publication"
    __table_args__ = (Index("template_publication_of", "tenant", "name", "channel", "language", "published_at"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    name: str
    channel: str
    language: str
    template_id: UUID = Field(foreign_key="template.id")
    version: int
    published_at: datetime = time_column(nullable=False)
