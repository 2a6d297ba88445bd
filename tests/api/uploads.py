"""Upload attachments."""

from collections.abc import AsyncIterator
from typing import Any

from httpx2 import AsyncClient, Response

from tests.api_tenants import ApiTenant

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 5_000  # two chunks
TYPE = "application/pdf"


async def upload(
    http: AsyncClient, content: Any = PDF, name: str = "invoice.pdf", content_type: str = TYPE
) -> Response:
    headers = {"Content-Type": content_type}
    return await http.post("/attachments", params={"name": name}, content=content, headers=headers)


async def chunk_sizes(api_tenant: ApiTenant) -> list[int]:
    statement = "SELECT length(data) AS size FROM attachment_chunk WHERE tenant = :tenant ORDER BY sha256, position"
    return [row["size"] for row in await api_tenant.query(statement)]


async def parts(content: bytes, size: int = 300_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]
