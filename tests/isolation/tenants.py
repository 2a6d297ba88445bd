"""Open tenants that call the API, and the foreign tenant whose data no response may show."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from fastapi import FastAPI
from sqlalchemy import text

from bootstrap import Container
from storage.database import Database
from tests.api_tenants import create_tenant, in_process_client
from tests.isolation.makers import MAKERS
from tests.isolation.resource_types import OwnerTenant, ResourceType

UUIDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

TABLES = text(r"""
SELECT string_agg(
         format('SELECT %L AS name, to_jsonb(t) - ''last_used_at'' AS content FROM %I t WHERE tenant = \:tenant',
                c.relname, c.relname), ' UNION ALL ')
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
""")
FAIL = text("""
UPDATE notification SET status = 'FAILED', failure_reason = 'sms: ' || :mark, finished_at = now()
 WHERE tenant = :tenant AND notification_type LIKE :mark || '%'
""")


@asynccontextmanager
async def open_owner(app: FastAPI, container: Container, mark: str) -> AsyncIterator[OwnerTenant]:
    """Create a tenant with a key that has every scope but `operate`."""
    tenant, key = await create_tenant(container.database)
    async with in_process_client(app, key) as http:
        yield OwnerTenant(
            tenant=tenant.id,
            tenant_key=tenant.key,
            key=key,
            http=http,
            database=container.database,
            container=container,
            makers=MAKERS,
            mark=mark,
        )


class TenantPair:
    """Two tenants in the same state. They are replaced once one of them has a name that was meant to be foreign."""

    def __init__(self, app: FastAPI, container: Container, stack: AsyncExitStack) -> None:
        self._app, self._parts, self._stack = app, container, stack
        self._open: tuple[OwnerTenant, OwnerTenant] | None = None

    async def pair(self) -> tuple[OwnerTenant, OwnerTenant]:
        if self._open is None:
            one, other = [
                await self._stack.enter_async_context(open_owner(self._app, self._parts, "own")) for _ in "12"
            ]
            self._open = one, other
        return self._open

    async def drop_if_holding(self, foreign: "ForeignTenant") -> None:
        one, _ = await self.pair()
        if foreign.shown_in(await rows(self._parts.database, one.tenant)):
            self._open = None


@dataclass(frozen=True, kw_only=True)
class ForeignTenant:
    """A tenant with two of each resource, so that each of its lists has a second page. `stored` are its rows, `ids` the
    ids in them."""

    first: OwnerTenant
    mark: str
    stored: str
    ids: frozenset[str]

    def shown_in(self, shown: str, given: str = "") -> set[str]:
        """Return the data of this tenant in a response, except what was in the request."""
        rest = shown.replace(given, "") if given else shown
        return {word for word in (*self.ids, self.mark) if word in rest}

    async def is_unchanged(self) -> bool:
        return await rows(self.first.database, self.first.tenant) == self.stored


@asynccontextmanager
async def foreign_tenant(app: FastAPI, container: Container) -> AsyncIterator[ForeignTenant]:
    mark = new_mark()
    async with open_owner(app, container, f"{mark}1") as first:
        second = replace(first, mark=f"{mark}2", made={})
        for resource_type in ResourceType:
            await first.own(resource_type)
            await second.own(resource_type)
        await _fill_lists(first, second)
        stored = await rows(container.database, first.tenant)
        yield ForeignTenant(first=first, mark=mark, stored=stored, ids=frozenset(UUIDS.findall(stored)))


async def _fill_lists(first: OwnerTenant, second: OwnerTenant) -> None:
    """Create pauses, nested lists, and failures, which no request creates."""
    subscriber = await second.own(ResourceType.RECIPIENT)
    await first.call("PUT", f"/topics/{await first.own(ResourceType.TOPIC)}/subscribers/{subscriber}")
    await replace(first, made=_without(first, ResourceType.EVENT_MESSAGE)).own(ResourceType.EVENT_MESSAGE)
    await replace(first, made=_without(first, ResourceType.INBOX_MESSAGE)).own(ResourceType.INBOX_MESSAGE)
    for owner in (first, second):
        await owner.call("POST", f"/notification-types/{await owner.own(ResourceType.NOTIFICATION_TYPE)}/pause")
    async with first.database.transaction() as session:
        for owner in (first, second):
            await session.execute(FAIL, {"tenant": owner.tenant, "mark": owner.mark})


def _without(owner: OwnerTenant, resource_type: ResourceType) -> dict[ResourceType, str]:
    return {each: id for each, id in owner.made.items() if each is not resource_type}


def new_mark() -> str:
    return f"m{uuid4().hex[:12]}"


async def rows(database: Database, tenant: UUID) -> str:
    """Return every row of this tenant, without the time of the last use of its keys."""
    async with database.transaction() as session:
        tables = (await session.execute(TABLES)).scalar_one()
        found = (await session.execute(text(tables), {"tenant": tenant})).all()
    return "\n".join(sorted(f"{row.name} {row.content}" for row in found))
