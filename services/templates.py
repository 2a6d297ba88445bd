"""Save, publish and roll back template versions. Called by the routes of templates."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from domain.audit import Caller
from domain.json_types import Json
from domain.names import FLUSH_CHANNEL
from domain.templates import version_before
from domain.validation_issues import InvalidInput, issue_at
from models.templates import Template
from rendering.messages import TemplateSource
from rendering.renderer import Renderer
from services.template_checks import find_save_warnings
from storage import audit, notification_types, templates
from storage.catalog import Catalog
from storage.database import Database
from storage.statements import notify
from storage.templates import ListedTemplate, Publication, TemplateKey


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateCommand:
    """A version to save. `content` has its columns, `source` what is rendered."""

    key: TemplateKey
    source: TemplateSource
    content: Json
    publish: bool


class NoEarlierVersion(Exception):
    """Report that no version was published before the current one."""


async def save(
    database: Database, catalog: Catalog, renderer: Renderer, caller: Caller, command: TemplateCommand
) -> tuple[ListedTemplate, list[str]]:
    """Return the new version and its warnings. Raise InvalidInput for a template that does not compile."""
    key = command.key
    async with database.transaction() as session:
        digest = await notification_types.is_used_in_digest(session, key.tenant, key.name)
    schema = command.content["variables_schema"]
    warnings = await find_save_warnings(renderer, command.source, schema, tenant=key.tenant, digest=digest)
    async with database.transaction() as session:
        row = await templates.add_version(session, key, command.content)
        after = {"version": row.version, "template_id": row.id, "published": command.publish}
        await audit.record_change(session, caller.change("template.saved", _subject(key), None, after))
        if command.publish:
            await templates.publish_version(session, key, row)
            await notify(session, FLUSH_CHANNEL)
        published = await _read_history(session, key)
    catalog.flush()
    return ListedTemplate(row=row, published_version=published[-1].version if published else None), warnings


async def publish(
    database: Database, catalog: Catalog, caller: Caller, key: TemplateKey, version: int
) -> ListedTemplate | None:
    """Publish a version unless it is in force. Return None for an unknown name. Raise InvalidInput for an unknown
    version."""
    async with database.transaction() as session:
        await templates.lock_key(session, key)
        if not await templates.is_known_name(session, key.tenant, key.name):
            return None
        row = await templates.find_by_version(session, key, version)
        if row is None:
            raise InvalidInput(issue_at("/version", "is no version of this template in this channel and language"))
        published = await _read_history(session, key)
        if not published or published[-1].template_id != row.id:
            await _publish(session, caller, "template.published", key, published, row)
    catalog.flush()
    return ListedTemplate(row=row, published_version=row.version)


async def roll_back(database: Database, catalog: Catalog, caller: Caller, key: TemplateKey) -> ListedTemplate | None:
    """Publish the version that was published before the current one. Return None for an unknown name. Raise
    NoEarlierVersion."""
    async with database.transaction() as session:
        await templates.lock_key(session, key)
        if not await templates.is_known_name(session, key.tenant, key.name):
            return None
        published = await _read_history(session, key)
        version = version_before(publication.version for publication in published)
        row = None if version is None else await templates.find_by_version(session, key, version)
        if row is None:
            raise NoEarlierVersion
        await _publish(session, caller, "template.rolled_back", key, published, row)
    catalog.flush()
    return ListedTemplate(row=row, published_version=row.version)


async def _read_history(session: AsyncSession, key: TemplateKey) -> list[Publication]:
    """Return the publications of a key, oldest first. The last one is in force."""
    of_name = await templates.list_publications(session, key.tenant, key.name)
    return [each for each in of_name if (each.channel, each.language) == (key.channel, key.language)]


async def _publish(
    session: AsyncSession, caller: Caller, action: str, key: TemplateKey, published: list[Publication], row: Template
) -> None:
    """Publish under the lock. Audit the version numbers: the content stays readable in the versions."""
    await templates.publish_version(session, key, row)
    before = {"published_version": published[-1].version if published else None}
    after = {"published_version": row.version}
    await audit.record_change(session, caller.change(action, _subject(key), before, after))
    await notify(session, FLUSH_CHANNEL)


def _subject(key: TemplateKey) -> str:
    return f"template/{key.name}/{key.channel}/{key.language}"
