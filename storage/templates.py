"""Template versions and the append-only record of which one was published when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from domain.channels import Channel
from domain.templates import TemplateVersion
from models.templates import Template, TemplatePublication

LOCK_KEY = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
SELECT_NOW = text("SELECT clock_timestamp()")
SELECT_LAST_VERSION = text("""
SELECT max(version) FROM template
 WHERE tenant = :tenant AND name = :name AND channel = :channel AND language = :language
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateKey:
    """What versions are counted within."""

    tenant: UUID
    name: str
    channel: Channel
    language: str

    @property
    def fields(self) -> dict[str, Any]:
        channel = str(self.channel)
        return {"tenant": self.tenant, "name": self.name, "channel": channel, "language": self.language}


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    channel: str
    language: str
    template_id: UUID
    version: int
    published_at: datetime


def template_version_of(row: Template) -> TemplateVersion:
    return TemplateVersion(
        id=row.id,
        name=row.name,
        channel=Channel(row.channel),
        language=row.language,
        version=row.version,
        subject_template=row.subject_template,
        body_template=row.body_template,
        text_template=row.text_template,
        variables_schema=row.variables_schema,
    )


def find_in_force(
    history: Sequence[Publication], channel: str, language: str, as_of: datetime | None = None
) -> Publication | None:
    """The publication in force at `as_of` (None: now); `history` is oldest first."""
    for entry in reversed(history):
        if (entry.channel, entry.language) == (channel, language) and (as_of is None or entry.published_at <= as_of):
            return entry
    return None


async def lock_key(session: AsyncSession, template_key: TemplateKey) -> None:
    """One writer of a place at a time, to the end of the transaction: versions and publications have an order."""
    name = "\x1f".join(str(value) for value in template_key.fields.values())
    await session.execute(LOCK_KEY, {"name": f"template:{name}"})


async def add_version(session: AsyncSession, template_key: TemplateKey, content: dict[str, Any]) -> Template:
    """`content`: subject_template, body_template, text_template, variables_schema. Takes the lock itself."""
    await lock_key(session, template_key)
    last = (await session.execute(SELECT_LAST_VERSION, template_key.fields)).scalar_one()
    row = Template(**template_key.fields, **content, version=(last or 0) + 1)
    session.add(row)
    await session.flush()
    return row


async def publish_version(session: AsyncSession, template_key: TemplateKey, row: Template) -> TemplatePublication:
    """Call under the lock. The time is the server's, and later than that of every publication before."""
    at = (await session.execute(SELECT_NOW)).scalar_one()
    publication = TemplatePublication(**template_key.fields, template_id=row.id, version=row.version, published_at=at)
    session.add(publication)
    await session.flush()
    return publication


async def find_by_id(session: AsyncSession, tenant: UUID, id: UUID) -> Template | None:
    query = select(Template).where(Template.tenant == tenant, Template.id == id)
    return (await session.execute(query)).scalar_one_or_none()


async def find_by_version(session: AsyncSession, template_key: TemplateKey, version: int) -> Template | None:
    query = select(Template).filter_by(**template_key.fields, version=version)
    return (await session.execute(query)).scalar_one_or_none()


async def list_publications(session: AsyncSession, tenant: UUID, name: str) -> list[Publication]:
    """Of every channel and language of a name, oldest first."""
    query = (
        select(TemplatePublication)
        .where(TemplatePublication.tenant == tenant, TemplatePublication.name == name)
        .order_by(col(TemplatePublication.published_at), col(TemplatePublication.id))
    )
    return [
        Publication(
            channel=row.channel,
            language=row.language,
            template_id=row.template_id,
            version=row.version,
            published_at=row.published_at,
        )
        for row in (await session.execute(query)).scalars()
    ]
