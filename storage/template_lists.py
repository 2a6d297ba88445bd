"""Reading templates for people: the newest version of each, and all versions of one name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Exists, Select, exists, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from models.templates import Template, TemplatePublication

SEPARATOR = "\x1f"
SORT_COLUMNS = (col(Template.name), col(Template.channel), col(Template.language))


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateFilter:
    """None: any."""

    tenant: UUID
    name: str | None = None
    channel: str | None = None
    language: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedTemplate:
    row: Template
    published_version: int | None

    @property
    def cursor(self) -> str:
        """Where the list goes on after this one."""
        return SEPARATOR.join((self.row.name, self.row.channel, self.row.language))


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
    """What is in force of these templates, in all channels and languages."""
    rows = await session.execute(SELECT_PUBLISHED, {"tenant": tenant, "names": list(names)})
    return [PublishedText(**row) for row in rows.mappings()]


async def list_newest(
    session: AsyncSession, criteria: TemplateFilter, after: str | None, limit: int
) -> list[ListedTemplate]:
    """The newest version of each name, channel and language, in this order. ValueError: `after` is not a cursor."""
    query = _matching_query(criteria).where(~_newer_exists()).order_by(*SORT_COLUMNS).limit(limit)
    if after is not None:
        name, channel, language = after.split(SEPARATOR)
        query = query.where(tuple_(*SORT_COLUMNS) > tuple_(name, channel, language))
    return [_listed_template(row) for row in await session.execute(query)]


async def list_versions(
    session: AsyncSession, criteria: TemplateFilter, before: UUID | None, limit: int
) -> list[ListedTemplate]:
    """All versions, newest first."""
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
