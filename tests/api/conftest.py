"""Temporary: until the session fixtures of `tests/conftest.py` exist."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from sqlmodel import SQLModel

import models  # noqa: F401
from api.app import create_app
from config import Settings
from embedded.temporary import temporary_postgres
from models.tenants import Tenant
from providers.base import Provider
from rendering.renderer import Renderer
from storage.api_keys import create_key, ensure_tenant
from storage.catalog import Catalog
from storage.database import Database


@dataclass
class TheParts:
    settings: Settings
    database: Database
    catalog: Catalog
    renderer: Renderer
    providers: dict[str, Provider] = field(default_factory=dict)
    on_receipts: Callable[[], None] = lambda: None

    async def temporal_ok(self) -> bool:
        return True


@pytest.fixture(scope="session")
async def database(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    home: Path = tmp_path_factory.mktemp("postgres")
    async with temporary_postgres(home) as postgres:
        database = Database(postgres.url)
        async with database.engine.begin() as connection:
            await connection.run_sync(SQLModel.metadata.create_all)
        yield database
        await database.close()


@pytest.fixture(scope="session")
async def renderer() -> AsyncIterator[Renderer]:
    async with Renderer() as renderer:
        yield renderer


@pytest.fixture
async def parts(database: Database, renderer: Renderer) -> TheParts:
    settings = Settings(env="dev", _env_file=None)
    return TheParts(settings=settings, database=database, catalog=Catalog(database), renderer=renderer)


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    async with database.transaction() as session:
        return await ensure_tenant(session, uuid4().hex, "Test")


@pytest.fixture
async def api(parts: TheParts, tenant: Tenant) -> AsyncIterator[httpx2.AsyncClient]:
    async with parts.database.transaction() as session:
        _, key = await create_key(session, tenant.id, "test", ["send", "read", "manage"])
    transport = httpx2.ASGITransport(app=create_app(parts))
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://test/api/v1", headers=headers) as client:
        yield client
