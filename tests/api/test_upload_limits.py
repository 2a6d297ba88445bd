"""Test the limits of uploads: the size of a file, the bytes of a tenant, their points, and their slots."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from api.limits.upload_slots import UploadSlots
from api.problems import Problem
from bootstrap import Container
from domain.attachments import MAX_SIZE
from models.attachments import CHUNK_SIZE
from storage.attachments import ROW_SIZE
from tests.api.uploads import PDF, TYPE, chunk_sizes, parts, upload
from tests.api_tenants import ApiTenant, open_in_process_tenant

pytestmark = pytest.mark.postgres


async def test_a_file_of_10_mb_is_accepted(api_tenant: ApiTenant) -> None:
    assert (await upload(api_tenant.http, PDF.ljust(MAX_SIZE, b"a"))).status_code == 201
    assert await chunk_sizes(api_tenant) == [CHUNK_SIZE] * 10


@pytest.mark.parametrize("declares_length", [True, False])
async def test_a_larger_file_gets_413_and_stores_nothing(api_tenant: ApiTenant, *, declares_length: bool) -> None:
    content = PDF.ljust(MAX_SIZE + 1, b"a")
    response = await upload(api_tenant.http, content if declares_length else parts(content))
    assert response.status_code == 413
    assert await chunk_sizes(api_tenant) == []


async def test_a_declared_length_above_the_limit_is_refused_before_the_body_is_read(api_tenant: ApiTenant) -> None:
    was_read = False

    async def content() -> AsyncIterator[bytes]:
        nonlocal was_read
        was_read = True
        yield PDF

    headers = {"Content-Type": TYPE, "Content-Length": str(MAX_SIZE + 1)}
    response = await api_tenant.http.post("/attachments?name=invoice.pdf", content=content(), headers=headers)
    assert (response.status_code, was_read) == (413, False)


@asynccontextmanager
async def limited_tenant(container: Container, **limits: Any) -> AsyncIterator[ApiTenant]:
    async with open_in_process_tenant(container, settings=container.settings.model_copy(update=limits)) as tenant:
        yield tenant


async def test_a_tenant_stores_no_more_bytes_than_its_limit(container: Container) -> None:
    limit = len(PDF) + 3 * ROW_SIZE + 5
    async with limited_tenant(container, attachment_bytes_per_tenant=limit) as tenant:
        assert (await upload(tenant.http)).status_code == 201
        assert (await upload(tenant.http, name="copy.pdf")).status_code == 201  # its content counts once
        refused = await upload(tenant.http, b"123456", "a.txt", "text/plain")
        assert refused.status_code == 409
        assert str(limit) in refused.json()["detail"]
        assert len(await chunk_sizes(tenant)) == 2
        assert (await upload(tenant.http, b"12345", "a.txt", "text/plain")).status_code == 201
        # What is stored already is accepted also when the limit is reached.
        assert (await upload(tenant.http)).status_code == 200
        assert (await upload(tenant.http, name="another.pdf")).status_code == 409


async def test_an_upload_is_charged_by_its_size(container: Container) -> None:
    async with limited_tenant(container, key_rate_limit=40) as tenant:
        assert (await upload(tenant.http)).status_code == 201
        assert (await upload(tenant.http, PDF + b"2")).status_code == 429
        assert len(await chunk_sizes(tenant)) == 2


async def test_uploads_beyond_the_slots_of_a_tenant_wait_and_then_get_503() -> None:
    slots, tenant, other = UploadSlots(4, wait=0.05), uuid4(), uuid4()
    async with slots.take(tenant):
        with pytest.raises(Problem) as refused:
            await slots.take(tenant).__aenter__()
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
        async with slots.take(other):
            pass
    async with slots.take(tenant):
        pass


async def test_uploads_of_all_tenants_together_are_limited() -> None:
    slots = UploadSlots(1, wait=0.05)
    async with slots.take(uuid4()):
        with pytest.raises(Problem):
            await slots.take(uuid4()).__aenter__()
    async with slots.take(uuid4()):
        pass


def test_uploads_leave_most_connections_of_the_pool_to_others() -> None:
    assert [UploadSlots.of_pool(size)._all._value for size in (4, 8, 40, 400)] == [1, 2, 8, 8]
