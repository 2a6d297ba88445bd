"""Tenants of an API application in this process, each with a key and a client. The key has all scopes but `operate`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from httpx2 import ASGITransport, AsyncClient, Response
from pydantic import SecretStr

from bootstrap import Container
from config import Settings
from storage import api_keys
from storage.database import Database
from tests.apps import app_of
from tests.installation_secret import STRONG_SECRET
from tests.keys import KEYS

SCOPES = ("send", "read", "manage")


@dataclass(frozen=True)
class InProcessTenant:
    tenant: UUID
    http: AsyncClient
    database: Database
    recipient_id: str = field(default_factory=lambda: f"recipient-{uuid4()}")

    async def put(self, path: str, body: Any) -> Response:
        return await self.http.put(path, json=body)

    async def put_recipient(self, **profile: Any) -> str:
        response = await self.put(f"/recipients/{self.recipient_id}", profile)
        assert response.status_code in (200, 201), response.text
        return f"/recipients/{self.recipient_id}"


@asynccontextmanager
async def open_in_process_tenant(
    container: Container, *, settings: Settings | None = None
) -> AsyncIterator[InProcessTenant]:
    async with container.database.transaction() as session:
        tenant = await api_keys.ensure_tenant(session, f"shop-{uuid4()}", "Shop")
        _, secret = await api_keys.upsert_key(session, tenant.id, "all", SCOPES)
    headers = {"Authorization": f"Bearer {secret}"}
    transport = ASGITransport(app_of(container, settings))
    async with AsyncClient(transport=transport, base_url="http://tocsin.test/api/v1", headers=headers) as http:
        yield InProcessTenant(tenant=tenant.id, http=http, database=container.database)


def validation_errors(response: Response) -> dict[str, str]:
    """Return the details of a 422 by pointer or parameter."""
    assert response.status_code == 422, response.text
    return {issue.get("pointer", issue.get("parameter")): issue["detail"] for issue in response.json()["errors"]}


def production_settings() -> Settings:
    return Settings(env="production", secret_key=SecretStr(STRONG_SECRET), **KEYS, _env_file=None)
