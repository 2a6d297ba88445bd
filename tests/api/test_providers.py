"""Test that rate limits apply to all tenants, are shown to all, and need the scope operate to change."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from api.app import create_app
from bootstrap import Container
from domain.circuits import CallTally
from providers.resend.adapter import Resend
from providers.sandbox import Sandbox
from storage import provider_health
from storage.catalog import Catalog
from storage.database import Database
from tests.api_tenants import in_process_client
from tests.installation_keys import installation_key
from tests.storage.databases import own_database

pytestmark = pytest.mark.postgres
PATH = "/providers/sandbox"
Opened = Callable[..., Awaitable[httpx2.AsyncClient]]


@pytest.fixture(scope="module")
async def module_database(database_url: str) -> AsyncIterator[Database]:
    """Use a separate database, because settings of a provider would affect other modules."""
    async with own_database(database_url) as database:
        yield database


@pytest.fixture(scope="module")
def app(container: Container, module_database: Database) -> FastAPI:
    """Build an API whose settings limit the sandbox to 50 calls per second."""
    settings = container.settings.model_copy(update={"sandbox_rate": 50.0})
    own = replace(container, database=module_database, catalog=Catalog(module_database), settings=settings)
    return create_app(own)


@pytest.fixture
async def own(module_database: Database) -> Database:
    """Delete the settings of all providers."""
    async with module_database.transaction() as session:
        await session.execute(text("TRUNCATE provider_limit, provider_health"))
    return module_database


@pytest.fixture
async def with_scopes(app: FastAPI, own: Database) -> Opened:
    """Return a function that opens a client whose key has these scopes."""

    async def opened(*scopes: str) -> httpx2.AsyncClient:
        return in_process_client(app, await installation_key(own, *scopes))

    return opened


@pytest.fixture
async def operator(with_scopes: Opened) -> httpx2.AsyncClient:
    return await with_scopes("read", "operate")


async def shown(http: httpx2.AsyncClient) -> dict[str, Any]:
    items: list[dict[str, Any]] = (await http.get("/providers")).json()["items"]
    return next(item for item in items if item["name"] == "sandbox")


async def test_a_given_limit_changes_and_null_restores_the_settings(operator: httpx2.AsyncClient) -> None:
    before = await shown(operator)
    assert (before["rate"], before["tenant_rate"]) == (50, None)
    steps: list[tuple[dict[str, float | None], float | None, float | None]] = [
        ({"rate": 20}, 20, None),
        ({"tenant_rate": 2.5}, 20, 2.5),
        ({}, 20, 2.5),
        ({"rate": 0}, None, 2.5),
        ({"rate": None, "tenant_rate": 0}, 50, None),
    ]
    for changes, rate, tenant_rate in steps:
        response = await operator.patch(PATH, json=changes)
        assert response.status_code == 200, response.text
        assert response.json() == await shown(operator) == before | {"rate": rate, "tenant_rate": tenant_rate}


async def test_a_provider_that_no_pool_names_is_not_there(operator: httpx2.AsyncClient) -> None:
    assert (await operator.patch("/providers/sendgrid", json={"rate": 20})).status_code == 404


@pytest.mark.parametrize("rate", [-1, 0.0001, 100_001, True, "20", [20]])
@pytest.mark.parametrize("name", ["rate", "tenant_rate"])
async def test_an_invalid_rate_is_refused_and_changes_nothing(
    operator: httpx2.AsyncClient, name: str, rate: Any
) -> None:
    response = await operator.patch(PATH, json={name: rate})
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, f"/{name}")
    assert (await shown(operator))["rate"] == 50


@pytest.mark.parametrize("body", ['{"rate": NaN}', '{"rate": 1, "rate": 2}', '{"rate": 1e400}', "{"])
async def test_a_body_that_is_no_strict_json_is_refused(operator: httpx2.AsyncClient, body: str) -> None:
    response = await operator.patch(PATH, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)


async def test_an_unknown_field_is_refused(operator: httpx2.AsyncClient) -> None:
    assert (await operator.patch(PATH, json={"weight": 1})).status_code == 422


async def test_a_future_throttle_end_is_shown_and_a_past_one_is_not(
    operator: httpx2.AsyncClient, own: Database
) -> None:
    assert (await shown(operator))["health"]["throttled_until"] is None
    async with own.transaction() as session:
        await provider_health.apply_tally(session, "sandbox", CallTally(calls=1, throttled_for=timedelta(minutes=1)))
    until = datetime.fromisoformat((await shown(operator))["health"]["throttled_until"])
    assert timedelta(seconds=50) < until - datetime.now(UTC) <= timedelta(minutes=1)
    async with own.transaction() as session:
        await session.execute(text("UPDATE provider_health SET throttled_until = now() - interval '1 second'"))
    assert (await shown(operator))["health"]["throttled_until"] is None


async def test_a_provider_that_refuses_lookups_is_shown_without(operator: httpx2.AsyncClient, own: Database) -> None:
    assert (await shown(operator))["capabilities"]["lookup"] == "definitive"
    async with own.transaction() as session:
        for _ in range(2):
            await provider_health.record_lookup_refused(session, "sandbox", uuid4())
    assert (await shown(operator))["capabilities"]["lookup"] == "none"


async def test_a_provider_that_recognizes_repeated_calls_is_shown_with_the_time(
    operator: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await shown(operator))["capabilities"]["idempotency_window"] is None
    monkeypatch.setattr(Sandbox, "idempotency_window", Resend.idempotency_window)
    assert (await shown(operator))["capabilities"]["idempotency_window"] == "1d"
