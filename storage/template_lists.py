"""Reading templates for people: the newest version of each, and all versions of one name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Exists, Select, exists, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from models.content import Template, TemplatePublication

SEPARATOR = "\x1f"
ORDER = (col(Template.name), col(Template.channel), col(Template.language))


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """None: any."""

    tenant: UUID
    name: str | None = None
    channel: str | None = None
    language: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    row: Template
    published_version: int | None

    @property
    def place(self) -> str:
        """Where the list goes on after this one."""
        return SEPARATOR.join((self.row.name, self.row.channel, self.row.language))


async def listed(session: AsyncSession, wanted: Filter, after: str | None, limit: int) -> list[Listed]:
    """The newest version of each name, channel and language, in this order. ValueError: `after` is no place."""
    found = _matching(wanted).where(~_has_newer()).order_by(*ORDER).limit(limit)
    if after is not None:
        name, channel, language = after.split(SEPARATOR)
        found = found.where(tuple_(*ORDER) > tuple_(name, channel, language))
    return [_listed(row) for row in await session.execute(found)]


async def versions(session: AsyncSession, wanted: Filter, before: UUID | None, limit: int) -> list[Listed]:
    """All versions, newest first."""
    found = _matching(wanted).order_by(col(Template.id).desc()).limit(limit)
    if before is not None:
        found = found.where(col(Template.id) < before)
    return [_listed(row) for row in await session.execute(found)]


async def known(session: AsyncSession, tenant: UUID, name: str) -> bool:
    found = select(exists().where(col(Template.tenant) == tenant, col(Template.name) == name))
    return bool((await session.execute(found)).scalar_one())


def _has_newer() -> Exists:
    newer = aliased(Template)
    same = [col(getattr(newer, name)) == getattr(Template, name) for name in ("tenant", "name", "channel", "language")]
    return exists().where(*same, col(newer.version) > Template.version)


def _listed(row: Sequence[Any]) -> Listed:
    return Listed(row=row[0], published_version=row[1])


def _matching(wanted: Filter) -> Select[Any]:
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
    given = {"name": wanted.name, "channel": wanted.channel, "language": wanted.language}
    return (
        select(Template, published.label("published_version"))
        .where(col(Template.tenant) == wanted.tenant)
        .filter_by(**{name: value for name, value in given.items() if value is not None})
    )
