"""Test pixel and links without authentication: signed tokens work, also without a database; others get 404."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx2 import ASGITransport, AsyncClient, Response
from sqlalchemy import text

from api.app import create_app
from bootstrap import Container, open_container
from config import Settings
from domain.evidence import ReceiptKind
from domain.tracking import TraceSigner, TrackedAction
from tests.apps import app_of

pytestmark = pytest.mark.postgres
TARGET = "https://example.com/a?b=c&d=é#e"


@pytest.fixture
async def anonymous_client(container: Container) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(app_of(container)), base_url="http://t.test") as client:
        yield client


def token(container: Container, attempt_id: UUID, kind: str = "clicked", target: str = TARGET) -> str:
    target = target if kind == "clicked" else ""
    trace = TrackedAction(kind=ReceiptKind(kind), attempt_id=attempt_id, provider="sandbox", target=target)
    return TraceSigner(container.settings.secret).token(trace)


async def stored(container: Container, attempt_id: UUID) -> list[dict[str, Any]]:
    async with container.database.transaction() as session:
        rows = await session.execute(
            text("SELECT provider, kind, raw FROM receipt WHERE attempt_id = :id ORDER BY kind"), {"id": attempt_id}
        )
        return [dict(row) for row in rows.mappings()]


def leads_nowhere(response: Response) -> bool:
    return response.status_code == 404 and "location" not in response.headers and "example.com" not in response.text


async def test_a_link_leads_to_its_target_and_is_stored_once(
    anonymous_client: AsyncClient, container: Container
) -> None:
    attempt = uuid4()
    for _ in range(2):
        response = await anonymous_client.get(f"/t/c/{token(container, attempt)}")
        assert (response.status_code, response.headers["location"]) == (302, "https://example.com/a?b=c&d=%C3%A9#e")
        assert (response.headers["cache-control"], response.headers["referrer-policy"]) == ("no-store", "no-referrer")
    await anonymous_client.get(f"/t/c/{token(container, attempt, target='https://example.com/another')}")
    assert await stored(container, attempt) == [{"provider": "tracking", "kind": "clicked", "raw": {}}]


async def test_parameters_that_others_append_to_a_link_change_nothing(
    anonymous_client: AsyncClient, container: Container
) -> None:
    """Link scanners and mail programs add their own parameters."""
    click = await anonymous_client.get(f"/t/c/{token(container, uuid4())}?utm_source=mail&utm_source=mail")
    pixel = await anonymous_client.get(f"/t/o/{token(container, uuid4(), 'opened')}?nocache=1")
    assert (click.status_code, pixel.status_code) == (302, 200)


async def test_the_pixel_is_a_dot_that_is_never_kept(anonymous_client: AsyncClient, container: Container) -> None:
    attempt = uuid4()
    for _ in range(2):
        response = await anonymous_client.get(f"/t/o/{token(container, attempt, 'opened')}")
        assert (response.status_code, response.headers["content-type"], len(response.content)) == (200, "image/gif", 43)
        assert response.content.startswith(b"GIF89a\x01\x00\x01\x00")
        assert response.headers["cache-control"] == "no-store"
    assert [row["kind"] for row in await stored(container, attempt)] == ["opened"]


async def test_a_head_request_does_not_count(anonymous_client: AsyncClient, container: Container) -> None:
    attempt = uuid4()
    click = await anonymous_client.head(f"/t/c/{token(container, attempt)}")
    pixel = await anonymous_client.head(f"/t/o/{token(container, attempt, 'opened')}")
    assert (click.status_code, pixel.status_code) == (302, 200)
    assert await stored(container, attempt) == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_unsigned_link_leads_nowhere(anonymous_client: AsyncClient, container: Container, method: str) -> None:
    attempt = uuid4()
    genuine = token(container, attempt)
    forged = TrackedAction(
        kind=ReceiptKind.CLICKED, attempt_id=attempt, provider="sandbox", target="https://evil.example/"
    )
    tokens = [
        genuine[:-2] + ("A" if genuine[-2] != "A" else "B") + genuine[-1],
        genuine[:-8],
        TraceSigner(b"a guess").token(forged),
        token(container, attempt, "opened"),
        "https:%2F%2Fevil.example%2F",
        "A",
        "%00",
        "%E2%98%83",
        "a" * 9_000,
    ]
    responses = [await anonymous_client.request(method, f"/t/c/{one}") for one in tokens]
    responses.append(await anonymous_client.request(method, f"/t/o/{genuine}"))
    assert [leads_nowhere(response) for response in responses] == [True] * len(responses)
    assert await stored(container, attempt) == []


async def test_no_header_can_be_smuggled_in(anonymous_client: AsyncClient, container: Container) -> None:
    for target in ("https://example.com/\r\nSet-Cookie: a=b", "javascript:alert(1)", "//example.com"):
        assert leads_nowhere(await anonymous_client.get(f"/t/c/{token(container, uuid4(), target=target)}"))
    spaced = await anonymous_client.get(f"/t/c/{token(container, uuid4(), target='https://example.com/a b')}")
    assert spaced.headers["location"] == "https://example.com/a%20b"


async def test_tracking_works_while_the_database_is_unavailable() -> None:
    nowhere = "postgresql+asyncpg://nouser@127.0.0.1:1/none"
    settings = Settings(env="dev", database_url=nowhere, temporal_address="127.0.0.1:1", _env_file=None)
    async with open_container(settings) as container:
        transport = ASGITransport(create_app(container))
        async with AsyncClient(transport=transport, base_url="http://t.test") as anonymous_client:
            click = await anonymous_client.get(f"/t/c/{token(container, uuid4())}")
            pixel = await anonymous_client.get(f"/t/o/{token(container, uuid4(), 'opened')}")
    assert (click.status_code, click.headers["location"].partition("?")[0]) == (302, "https://example.com/a")
    assert (pixel.status_code, len(pixel.content)) == (200, 43)


async def test_a_stalled_database_delays_no_redirect(anonymous_client: AsyncClient, container: Container) -> None:
    async with container.database.transaction() as session:
        await session.execute(text("LOCK TABLE receipt"))
        response = await anonymous_client.get(f"/t/c/{token(container, uuid4())}", timeout=5)
    assert response.status_code == 302


async def test_tracking_is_not_part_of_the_documented_api(anonymous_client: AsyncClient) -> None:
    assert [
        path
        for path in (await anonymous_client.get("http://localhost/openapi.json")).json()["paths"]
        if path.startswith("/t/")
    ] == []
