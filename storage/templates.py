"""Save, publish and list template versions. The record of publications is append-only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Exists, Select, exists, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

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
    """Identify the content whose versions are numbered together."""

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
        push=row.push,
        variables_schema=row.variables_schema,
    )


def find_in_force(
    history: Sequence[Publication], channel: str, language: str, as_of: datetime | None = None
) -> Publication | None:
    """Return the publication in force at `as_of` (None: now). `history` is oldest first."""
    for entry in reversed(history):
        if (entry.channel, entry.language) == (channel, language) and (as_of is None or entry.published_at <= as_of):
            return entry
    return None


async def lock_key(session: AsyncSession, template_key: TemplateKey) -> None:
    """Lock the key until the end of the transaction, so that its versions and publications have an order."""
    name = "\x1f".join(str(value) for value in template_key.fields.values())
    await session.execute(LOCK_KEY, {"name": f"template:{name}"})


async def add_version(session: AsyncSession, template_key: TemplateKey, content: dict[str, Any]) -> Template:
    """Add a version. `content` has subject_template, body_template, text_template, push and variables_schema. Takes the
    lock itself."""
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
    query = select(Template).where(col(Template.tenant) == tenant, col(Template.id) == id)
    return (await session.execute(query)).scalar_one_or_none()


async def find_by_version(session: AsyncSession, template_key: TemplateKey, version: int) -> Template | None:
    query = select(Template).filter_by(**template_key.fields, version=version)
    return (await session.execute(query)).scalar_one_or_none()


async def list_publications(session: AsyncSession, tenant: UUID, name: str) -> list[Publication]:
    """Return the publications of all channels and languages of a name, oldest first."""
    query = (
        select(TemplatePublication)
        .where(col(TemplatePublication.tenant) == tenant, col(TemplatePublication.name) == name)
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


SORT_COLUMNS = (col(Template.name), col(Template.channel), col(Template.language))


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateFilter:
    """Filter versions. None does not filter."""

    tenant: UUID
    name: str | None = None
    channel: str | None = None
    language: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedTemplate:
    row: Template
    published_version: int | None

    @property
    def sort_key(self) -> tuple[str, str, str]:
        return self.row.name, self.row.channel, self.row.language


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedText:
    """A template in one channel and language, as it is in force."""

    name: str
    channel: str
    language: str
    subject_template: str | None
    body_template: str
    text_template: str | None


SELECT_PUBLISHED = text("""
SELECT DISTINCT ON (p.name, p.channel, p.language)
       p.name, p.channel, p.language, t.subject_template, t.body_template, t.text_template
  FROM template_publication p JOIN template t ON t.id = p.template_id
 WHERE p.tenant = :tenant AND p.name = ANY(:names)
 ORDER BY p.name, p.channel, p.language, p.published_at DESC, p.id DESC
""")


async def list_published_texts(session: AsyncSession, tenant: UUID, names: Sequence[str]) -> list[PublishedText]:
    """Return the published versions of these templates, in all channels and languages."""
    rows = await session.execute(SELECT_PUBLISHED, {"tenant": tenant, "names": list(names)})
    return [PublishedText(**row) for row in rows.mappings()]


async def list_newest(
    session: AsyncSession, criteria: TemplateFilter, after: Sequence[str] | None, limit: int
) -> list[ListedTemplate]:
    """Return the newest version of each name, channel and language, in this order. `after` is the last sort key of the
    previous page."""
    query = _matching_query(criteria).where(~_newer_exists()).order_by(*SORT_COLUMNS).limit(limit)
    if after is not None:
        query = query.where(tuple_(*SORT_COLUMNS) > tuple_(*after))
    return [_listed_template(row) for row in await session.execute(query)]


async def list_versions(
    session: AsyncSession, criteria: TemplateFilter, before: UUID | None, limit: int
) -> list[ListedTemplate]:
    """Return all versions, newest first."""
    query = _matching_query(criteria).order_by(col(Template.id).desc()).limit(limit)
    if before is not None:
        query = query.where(col(Template.id) < before)
    return [_listed_template(row) for row in await session.execute(query)]


async def is_known_name(session: AsyncSession, tenant: UUID, name: str) -> bool:
    query = select(exists().where(col(Template.tenant) == tenant, col(Template.name) == name))
    return bool((await session.execute(query)).scalar_one())


def _newer_exists() -> Exists:
    newer = aliased(Template)
    same = [col(getattr(newer, name)) == getattr(Template, name) for name in ("tenant", "name", "channel", "language")]
    return exists().where(*same, col(newer.version) > Template.version)


def _listed_template(row: Sequence[Any]) -> ListedTemplate:
    return ListedTemplate(row=row[0], published_version=row[1])


def _matching_query(criteria: TemplateFilter) -> Select[Any]:
    published = (
        select(col(TemplatePublication.version))
        .where(
            col(TemplatePublication.tenant) == col(Template.tenant),
            col(TemplatePublication.name) == col(Template.name),
            col(TemplatePublication.channel) == col(Template.channel),
            col(TemplatePublication.language) == col(Template.language),
        )
        .order_by(col(TemplatePublication.published_at).desc(), col(TemplatePublication.id).desc())
        .limit(1)
        .scalar_subquery()
    )
    given = {"name": criteria.name, "channel": criteria.channel, "language": criteria.language}
    return (
        select(Template, published.label("published_version"))
        .where(col(Template.tenant) == criteria.tenant)
        .filter_by(**{name: value for name, value in given.items() if value is not None})
    )
