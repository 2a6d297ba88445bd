"""Test the upload of attachments: what is stored, shared and refused."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.server import ApiServer, server_config
from bootstrap import Container
from models.attachments import CHUNK_SIZE
from storage import attachments
from tests.api.uploads import PDF, TYPE, chunk_sizes, parts, upload
from tests.api_tenants import ApiTenant
from tests.apps import app_of
from tests.polling import eventually

pytestmark = pytest.mark.postgres

COUNT_UPLOADS = (
    "SELECT count(*) AS uploads FROM pg_stat_activity WHERE datname = current_database()"
    " AND state = 'idle in transaction' AND query LIKE 'INSERT INTO attachment_chunk%'"
)


async def test_an_uploaded_file_is_stored_in_chunks_and_shown(api_tenant: ApiTenant, container: Container) -> None:
    response = await upload(api_tenant.http, parts(PDF))
    assert response.status_code == 201, response.text
    made = response.json()
    assert response.headers["Location"] == f"/api/v1/attachments/{made['id']}"
    assert (await api_tenant.call("GET", f"/attachments/{made['id']}")) == made
    shown = {name: made[name] for name in ("name", "content_type", "size", "sha256")}
    sha256 = hashlib.sha256(PDF).hexdigest()
    assert shown == {"name": "invoice.pdf", "content_type": TYPE, "size": len(PDF), "sha256": sha256}
    expires_in = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert expires_in == timedelta(days=container.settings.attachment_days)
    assert await chunk_sizes(api_tenant) == [CHUNK_SIZE, len(PDF) - CHUNK_SIZE]
    async with container.database.statement() as session:
        assert await attachments.read_content(session, api_tenant.tenant, UUID(made["id"])) == PDF


async def test_a_repeated_upload_returns_the_same_attachment(api_tenant: ApiTenant) -> None:
    first, second = await upload(api_tenant.http), await upload(api_tenant.http)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert second.json()["created_at"] == first.json()["created_at"]
    assert second.json()["expires_at"] > first.json()["expires_at"]
    assert len(await chunk_sizes(api_tenant)) == 2


@pytest.mark.parametrize("changed", [{"name": "copy.pdf"}, {"content_type": "application/octet-stream"}])
async def test_another_name_or_type_is_another_attachment_with_the_same_chunks(
    api_tenant: ApiTenant, changed: dict[str, str]
) -> None:
    first, second = await upload(api_tenant.http), await upload(api_tenant.http, **changed)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]
    assert len(await chunk_sizes(api_tenant)) == 2


async def test_concurrent_uploads_of_one_file_are_one_attachment(api_tenant: ApiTenant) -> None:
    responses = await asyncio.gather(*(upload(api_tenant.http, parts(PDF)) for _ in range(3)))
    assert sorted(each.status_code for each in responses) == [200, 200, 201]
    assert len({each.json()["id"] for each in responses}) == 1
    assert len(await chunk_sizes(api_tenant)) == 2


async def test_two_tenants_with_the_same_file_share_nothing(api_tenant: ApiTenant, other_api_tenant: ApiTenant) -> None:
    mine, theirs = await upload(api_tenant.http), await upload(other_api_tenant.http)
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert len(await chunk_sizes(api_tenant)) == len(await chunk_sizes(other_api_tenant)) == 2
    assert (await other_api_tenant.http.get(f"/attachments/{mine.json()['id']}")).status_code == 404
    async with api_tenant.database.statement() as session:
        id = UUID(mine.json()["id"])
        assert await attachments.read_content(session, other_api_tenant.tenant, id) is None
        assert await attachments.find_attachments(session, other_api_tenant.tenant, [id]) == {}


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"content": b""}, {"pointer": ""}),
        ({"content": b"hello"}, {"pointer": ""}),
        ({"name": "invoice.exe"}, {"parameter": "name"}),
        ({"name": "a/b.pdf"}, {"parameter": "name"}),
        ({"name": "a\x00.pdf"}, {"parameter": "name"}),
        ({"name": ""}, {"parameter": "name"}),
        ({"name": "x" * 256}, {"parameter": "name"}),
        ({"content_type": "multipart/form-data; boundary=a"}, {"parameter": "Content-Type"}),
        ({"content_type": ""}, {"parameter": "Content-Type"}),
    ],
)
async def test_a_refused_file_gets_422_with_the_place_and_stores_nothing(
    api_tenant: ApiTenant, changed: dict[str, Any], place: dict[str, str]
) -> None:
    response = await upload(api_tenant.http, **changed)
    assert response.status_code == 422, response.text
    [error] = response.json()["errors"]
    assert error == {**place, "detail": error["detail"]}
    assert error["detail"]
    assert await chunk_sizes(api_tenant) == []


async def test_a_compressed_body_is_refused(api_tenant: ApiTenant) -> None:
    headers = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    response = await api_tenant.http.post("/attachments?name=a.txt", content=b"\x1f\x8b", headers=headers)
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "Content-Encoding"


@asynccontextmanager
async def served(container: Container) -> AsyncIterator[int]:
    """Serve the application on a socket, and yield the port."""
    server = ApiServer(server_config(app_of(container), "127.0.0.1", 0))
    serving = asyncio.create_task(server.serve())

    async def port() -> int:
        return int(server.servers[0].sockets[0].getsockname()[1]) if server.started else 0

    try:
        yield await eventually(port, bool)
    finally:
        server.should_exit = True
        await serving


async def test_nothing_is_kept_when_the_client_disconnects(api_tenant: ApiTenant, container: Container) -> None:
    async def uploads() -> int:
        return int((await api_tenant.query(COUNT_UPLOADS))[0]["uploads"])

    async with served(container) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = (
            "POST /api/v1/attachments?name=invoice.pdf HTTP/1.1",
            "Host: tocsin.test",
            f"Authorization: Bearer {api_tenant.key}",
            f"Content-Type: {TYPE}",
            f"Content-Length: {len(PDF)}",
        )
        writer.write("\r\n".join([*lines, "", ""]).encode() + PDF[:-1])
        await writer.drain()
        await eventually(uploads, lambda found: found == 1)
        writer.close()
        await eventually(uploads, lambda found: found == 0)
    assert await chunk_sizes(api_tenant) == []
    assert await api_tenant.query("SELECT id FROM attachment WHERE tenant = :tenant") == []
