import re
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter

from api import app as application
from api import docs
from api.app import create_app
from config import Settings
from storage.database import Database
from tests.storage.databases import own_database
from tests.storage.queues import accept_notifications, claim_and_start
from tests.storage.sends import open_database_tenant
from tests.storage.store_changes import confirm_store, note_store, recover_batch

pytestmark = pytest.mark.postgres


def client_of(database: Database, *, temporal: bool) -> httpx2.AsyncClient:
    async def is_temporal_available() -> bool:
        return temporal

    container: Any = SimpleNamespace(
        database=database,
        is_temporal_available=is_temporal_available,
        settings=Settings(env="dev", _env_file=None),
        build_send_services=lambda: None,
    )
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=create_app(container)), base_url="http://test")


async def test_the_process_is_healthy_and_ready(database: Database) -> None:
    async with client_of(database, temporal=True) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ok"}


async def test_the_api_without_temporal_is_ready_but_degraded(database: Database) -> None:
    async with client_of(database, temporal=False) as client:
        response = await client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "degraded": ["temporal"]})


async def test_another_temporal_store_and_its_recovery_are_shown(database_url: str) -> None:
    async with own_database(database_url) as database, client_of(database, temporal=True) as client:
        await note_store(database, "old")
        assert (await client.get("/readyz")).json() == {"status": "ok"}
        await note_store(database, "new")
        response = (await client.get("/readyz")).json()
        assert response["degraded"] == ["temporal_store"]
        assert response["other_temporal_store"]["id"] == "new"
        database_tenant = await open_database_tenant(database)
        await claim_and_start(database, *(await accept_notifications(database_tenant, 1, 3, 3)))
        await confirm_store(database, "new")
        await note_store(database, "new")
        await recover_batch(database, 2)
        response = (await client.get("/readyz")).json()
        assert (response["recovery"]["done"], response["recovery"]["left"]) == (2, 1)
        await recover_batch(database)
        assert (await client.get("/readyz")).json() == {"status": "ok"}


async def test_the_api_without_postgres_is_alive_and_not_ready() -> None:
    async with client_of(Database("postgresql+asyncpg://nouser@127.0.0.1:1/none"), temporal=True) as client:
        assert (await client.get("/healthz")).status_code == 200
        response = await client.get("/readyz")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


async def test_the_docs_load_no_external_resource(api: httpx2.AsyncClient) -> None:
    page = await api.get("http://localhost/docs")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) >= 2
    for link in links:
        assert link.startswith("/")
        assert (await api.get(f"http://localhost{link}")).status_code == 200
    assert 'url: "/openapi.json"' in (await api.get(f"http://localhost{docs.START_SCRIPT_URL}")).text


async def test_openapi_lists_only_the_api_with_short_operation_ids(api: httpx2.AsyncClient) -> None:
    document = (await api.get("http://localhost/openapi.json")).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert all(path.startswith("/api/v1/") for path in document["paths"])
    assert len(set(ids)) == len(ids) > 5
    assert all(re.fullmatch(r"[a-z_]+", name) for name in ids)


def test_a_router_without_authentication_stops_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    async def open_to_all() -> None: ...

    unguarded = APIRouter()
    unguarded.add_api_route("/unguarded", open_to_all)
    monkeypatch.setattr(application, "ROUTERS", (*application.ROUTERS, unguarded))
    with pytest.raises(TypeError, match="/api/v1/unguarded"):
        create_app()
