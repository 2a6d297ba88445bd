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
from models.content import Template, TemplatePublication

LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
CLOCK = text("SELECT clock_timestamp()")
LAST = text("""
SELECT max(version) FROM template
 WHERE tenant = :tenant AND name = :name AND channel = :channel AND language = :language
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
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


def value_of(row: Template) -> TemplateVersion:
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


def newest(
    history: Sequence[Publication], channel: str, language: str, as_of: datetime | None = None
) -> Publication | None:
    """The publication in force at `as_of` (None: now); `history` is oldest first."""
    for one in reversed(history):
        if (one.channel, one.language) == (channel, language) and (as_of is None or one.published_at <= as_of):
            return one
    return None


async def lock(session: AsyncSession, place: Place) -> None:
    """One writer of a place at a time, to the end of the transaction: versions and publications have an order."""
    name = "\x1f".join(str(value) for value in place.fields.values())
    await session.execute(LOCK, {"name": f"template:{name}"})


async def add(session: AsyncSession, place: Place, content: dict[str, Any]) -> Template:
    """`content`: subject_template, body_template, text_template, variables_schema. Takes the lock itself."""
    await lock(session, place)
    last = (await session.execute(LAST, place.fields)).scalar_one()
    row = Template(**place.fields, **content, version=(last or 0) + 1)
    session.add(row)
    await session.flush()
    return row


async def publish(session: AsyncSession, place: Place, row: Template) -> TemplatePublication:
    """Call under the lock. The time is the server's, and later than that of every publication before."""
    at = (await session.execute(CLOCK)).scalar_one()
    made = TemplatePublication(**place.fields, template_id=row.id, version=row.version, published_at=at)
    session.add(made)
    await session.flush()
    return made


async def by_id(session: AsyncSession, tenant: UUID, id: UUID) -> Template | None:
    found = select(Template).where(Template.tenant == tenant, Template.id == id)
    return (await session.execute(found)).scalar_one_or_none()


async def by_version(session: AsyncSession, place: Place, version: int) -> Template | None:
    found = select(Template).filter_by(**place.fields, version=version)
    return (await session.execute(found)).scalar_one_or_none()


async def publications(session: AsyncSession, tenant: UUID, name: str) -> list[Publication]:
    """Of every channel and language of a name, oldest first."""
    found = (
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
        for row in (await session.execute(found)).scalars()
    ]
