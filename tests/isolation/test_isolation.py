"""Test for every route and method of the OpenAPI document which keys may call it, and that it stays within the caller's
tenant.

A new route needs an entry in `routes.py`; `test_the_table_declares_every_route` names the missing ones.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import NamedTuple

import pytest
from fastapi import APIRouter, FastAPI
from httpx2 import AsyncClient
from pydantic import SecretStr
from sqlmodel import select

import api.app as application
from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import ContainerDep
from api.schemas.base import Id, Model, ShortText
from bootstrap import Container
from models.notifications import Notification
from providers.transport import Transport, outgoing_client
from providers.web_push.adapter import WebPush
from providers.web_push.settings import WebPushSettings
from storage.api_keys import SCOPES
from tests.api_tenants import in_process_client
from tests.apps import app_of, openapi_document
from tests.installation_keys import installation_key
from tests.isolation.checks import ask, check_cursor, check_foreign_ids, check_keys, check_own_requests
from tests.isolation.operations import Operation, operations, templates, undeclared
from tests.isolation.resource_types import OwnerTenant, ResourceType
from tests.isolation.routes import ROUTES, RouteExample
from tests.isolation.tenants import ForeignTenant, TenantPair, foreign_tenant, open_owner
from tests.providers.harness_web_push import PRIVATE_KEY

OPERATIONS = list(operations(openapi_document()))
WITH_KEY = [operation for operation in OPERATIONS if operation.scope is not None]
OF_TENANTS = [operation for operation in WITH_KEY if operation.scope != "operate"]
OF_OPERATORS = [operation for operation in WITH_KEY if operation.scope == "operate"]


def each(chosen: list[Operation]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", chosen, ids=[operation.id for operation in chosen])


class KeyHolders(NamedTuple):
    """Clients by scope: with that scope alone, and with all others."""

    alone: dict[str, AsyncClient]
    others: dict[str, AsyncClient]


@pytest.fixture(scope="module")
async def foreign(container: Container) -> AsyncIterator[ForeignTenant]:
    async with foreign_tenant(app_of(container), container) as foreign:
        yield foreign


@pytest.fixture(scope="module")
async def caller(container: Container) -> AsyncIterator[OwnerTenant]:
    """Open a tenant whose requests are those of the table, also where they need a provider that is not the sandbox."""
    settings = WebPushSettings(private_key=SecretStr(PRIVATE_KEY), subject="mailto:ops@example.com")
    async with outgoing_client() as http:
        web_push = WebPush(settings, Transport(http))
        container = replace(container, providers={**container.providers, WebPush.name: web_push})
        async with open_owner(app_of(container), container, "own") as caller:
            yield caller


@pytest.fixture(scope="module")
async def tenant_pair(container: Container) -> AsyncIterator[TenantPair]:
    async with AsyncExitStack() as stack:
        yield TenantPair(app_of(container), container, stack)


@pytest.fixture(scope="module")
async def holders(container: Container) -> KeyHolders:
    app, database = app_of(container), container.database
    alone = {name: in_process_client(app, await installation_key(database, name)) for name in SCOPES}
    rest = {name: [other for other in SCOPES if other != name] for name in SCOPES}
    return KeyHolders(
        alone, {name: in_process_client(app, await installation_key(database, *rest[name])) for name in SCOPES}
    )


def test_the_table_declares_every_route() -> None:
    assert undeclared(openapi_document()) == []


@pytest.mark.postgres
async def test_every_request_needs_a_key_with_the_scope(container: Container, holders: KeyHolders) -> None:
    async with in_process_client(app_of(container), None) as anonymous:
        for operation in WITH_KEY:
            needed = str(operation.scope)
            await check_keys(operation, anonymous, holders.others[needed], holders.alone[needed])


@pytest.mark.postgres
@each(OF_TENANTS)
async def test_a_foreign_id_is_an_absent_one(
    foreign: ForeignTenant, tenant_pair: TenantPair, caller: OwnerTenant, operation: Operation
) -> None:
    route = ROUTES[operation.id]
    await check_foreign_ids(operation, route, *await tenant_pair.pair(), foreign)
    if operation.writes:
        await tenant_pair.drop_if_holding(foreign)
    await check_own_requests(operation, route, caller, foreign)


@pytest.mark.postgres
@each(OF_OPERATORS)
async def test_an_operator_changes_only_the_tenant_in_the_path(
    container: Container, foreign: ForeignTenant, operation: Operation
) -> None:
    async with open_owner(app_of(container), container, "own") as one:
        one.http.headers["Authorization"] = f"Bearer {await installation_key(container.database)}"
        for template in templates(ROUTES[operation.id]):
            response = await ask(one, operation, template)
            assert response.is_success, response.text
    assert await foreign.is_unchanged()


@pytest.mark.postgres
@each([operation for operation in OF_TENANTS if operation.pages])
async def test_a_cursor_of_another_tenant_shows_nothing_of_it(
    foreign: ForeignTenant, caller: OwnerTenant, operation: Operation
) -> None:
    await check_cursor(operation, ROUTES[operation.id], caller, foreign)


class RequestedOwner(Model):
    """The body of the careless routes below."""

    owner_id: ShortText


careless = APIRouter(route_class=AuthenticatedRoute, prefix="/careless")


@careless.get("/{id}")
@scope("read")
async def careless_read(id: Id, container: ContainerDep) -> str:
    async with container.database.transaction() as session:
        row = (await session.execute(select(Notification).where(Notification.id == id))).scalar_one_or_none()
    return "none" if row is None else row.status


@careless.post("")
@scope("send")
async def careless_write(body: RequestedOwner, container: ContainerDep, near_id: str | None = None) -> None:
    """Change the priority of what this recipient has in any tenant. The same call again reverts it."""
    async with container.database.transaction() as session:
        rows = await session.execute(select(Notification).where(Notification.recipient_id == body.owner_id))
        for row in rows.scalars():
            row.priority = 5 - row.priority


@pytest.fixture(scope="module")
def extended(container: Container) -> Iterator[FastAPI]:
    """Build a copy of the application with two more routes, which do not check the tenant."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(application, "ROUTERS", (*application.ROUTERS, careless))
        yield application.create_app(container)


CARELESS = {
    "careless_read": RouteExample(path={"id": ResourceType.NOTIFICATION}),
    "careless_write": RouteExample(
        query={"near_id": ResourceType.RECIPIENT}, bodies=({"owner_id": ResourceType.RECIPIENT},)
    ),
}


@pytest.mark.postgres
def test_a_route_without_an_entry_fails_and_names_the_missing_entry(extended: FastAPI) -> None:
    added = undeclared(extended.openapi())
    assert [sentence.split(": ")[0] for sentence in added] == [
        "GET /careless/{id} (careless_read) has no entry in ROUTES of tests/isolation/routes.py",
        "POST /careless (careless_write) has no entry in ROUTES of tests/isolation/routes.py",
    ]
    assert '"careless_read": Route(...)' in added[0]
    assert undeclared(extended.openapi(), {**ROUTES, **CARELESS}) == []


@pytest.mark.postgres
def test_an_entry_that_lacks_a_field_or_outlived_its_route_fails(extended: FastAPI) -> None:
    table = {**ROUTES, **dict.fromkeys(("careless_read", "careless_write", "gone"), RouteExample())}
    found = undeclared(extended.openapi(), table)
    assert [sentence.rpartition(": put")[0].rpartition("what ")[2] for sentence in found[1:]] == [
        "path.id belongs to",
        "query.near_id belongs to",
        "body.owner_id belongs to",
    ]
    assert found[0] == 'tests/isolation/routes.py: remove the entry "gone", which the document does not have.'


@pytest.mark.postgres
async def test_a_route_that_ignores_the_tenant_is_noticed(
    container: Container, extended: FastAPI, foreign: ForeignTenant
) -> None:
    operation = {each.id: each for each in operations(extended.openapi())}
    async with open_owner(extended, container, "own") as one, open_owner(extended, container, "own") as other:
        with pytest.raises(AssertionError, match="not answered as an absent one"):
            await check_foreign_ids(operation["careless_read"], CARELESS["careless_read"], one, other, foreign)
        await check_foreign_ids(operation["careless_write"], CARELESS["careless_write"], one, other, foreign)
        with pytest.raises(AssertionError, match="changed another tenant"):
            await check_own_requests(operation["careless_write"], CARELESS["careless_write"], one, foreign)
        await one.call("POST", "/careless", {"owner_id": await foreign.first.own(ResourceType.RECIPIENT)})
    assert await foreign.is_unchanged()
