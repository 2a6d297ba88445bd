"""Pixel and links as a stranger meets them: what we signed works, also without a database; the rest leads nowhere."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx2 import ASGITransport, AsyncClient, Response
from sqlalchemy import text

from api.app import create_app
from bootstrap import Parts, open_parts
from config import Settings
from domain.evidence import ReceiptKind
from domain.tracking import Trace, TraceSigner
from tests.apps import app_of

pytestmark = pytest.mark.postgres
TARGET = "https://example.com/a?b=c&d=é#e"


@pytest.fixture
async def stranger(parts: Parts) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(app_of(parts)), base_url="http://t.test") as client:
        yield client


def token(parts: Parts, attempt_id: UUID, kind: str = "clicked", target: str = TARGET) -> str:
    target = target if kind == "clicked" else ""
    trace = Trace(kind=ReceiptKind(kind), attempt_id=attempt_id, provider="sandbox", target=target)
    return TraceSigner(parts.settings.secret).token(trace)


async def stored(parts: Parts, attempt_id: UUID) -> list[dict[str, Any]]:
    async with parts.database.transaction() as session:
        rows = await session.execute(
            text("SELECT provider, kind, raw FROM receipt WHERE attempt_id = :id ORDER BY kind"), {"id": attempt_id}
        )
        return [dict(row) for row in rows.mappings()]


def leads_nowhere(answer: Response) -> bool:
    return answer.status_code == 404 and "location" not in answer.headers and "example.com" not in answer.text


async def test_a_link_leads_to_its_target_and_is_stored_once(stranger: AsyncClient, parts: Parts) -> None:
    attempt = uuid4()
    for _ in range(2):
        answer = await stranger.get(f"/t/c/{token(parts, attempt)}")
        assert (answer.status_code, answer.headers["location"]) == (302, "https://example.com/a?b=c&d=%C3%A9#e")
        assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    await stranger.get(f"/t/c/{token(parts, attempt, target='https://example.com/another')}")
    assert await stored(parts, attempt) == [{"provider": "tracking", "kind": "clicked", "raw": {}}]


async def test_parameters_that_others_append_to_a_link_change_nothing(stranger: AsyncClient, parts: Parts) -> None:
    """Link scanners and mail programs add their own."""
    click = await stranger.get(f"/t/c/{token(parts, uuid4())}?utm_source=mail&utm_source=mail")
    pixel = await stranger.get(f"/t/o/{token(parts, uuid4(), 'opened')}?nocache=1")
    assert (click.status_code, pixel.status_code) == (302, 200)


async def test_the_pixel_is_a_dot_that_is_never_kept(stranger: AsyncClient, parts: Parts) -> None:
    attempt = uuid4()
    for _ in range(2):
        answer = await stranger.get(f"/t/o/{token(parts, attempt, 'opened')}")
        assert (answer.status_code, answer.headers["content-type"], len(answer.content)) == (200, "image/gif", 43)
        assert answer.content.startswith(b"GIF89a\x01\x00\x01\x00")
        assert answer.headers["cache-control"] == "no-store"
    assert [row["kind"] for row in await stored(parts, attempt)] == ["opened"]


async def test_one_who_only_asks_whether_it_is_there_does_not_count(stranger: AsyncClient, parts: Parts) -> None:
    attempt = uuid4()
    click = await stranger.head(f"/t/c/{token(parts, attempt)}")
    pixel = await stranger.head(f"/t/o/{token(parts, attempt, 'opened')}")
    assert (click.status_code, pixel.status_code) == (302, 200)
    assert await stored(parts, attempt) == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_we_did_not_sign_leads_nowhere(stranger: AsyncClient, parts: Parts, method: str) -> None:
    attempt = uuid4()
    genuine = token(parts, attempt)
    forged = Trace(kind=ReceiptKind.CLICKED, attempt_id=attempt, provider="sandbox", target="https://evil.example/")
    tokens = [
        genuine[:-2] + ("A" if genuine[-2] != "A" else "B") + genuine[-1],
        genuine[:-8],
        TraceSigner(b"a guess").token(forged),
        token(parts, attempt, "opened"),
        "https:%2F%2Fevil.example%2F",
        "A",
        "%00",
        "%E2%98%83",
        "a" * 9_000,
    ]
    answers = [await stranger.request(method, f"/t/c/{one}") for one in tokens]
    answers.append(await stranger.request(method, f"/t/o/{genuine}"))
    assert [leads_nowhere(answer) for answer in answers] == [True] * len(answers)
    assert await stored(parts, attempt) == []


async def test_no_header_can_be_smuggled_in(stranger: AsyncClient, parts: Parts) -> None:
    for target in ("https://example.com/\r\nSet-Cookie: a=b", "javascript:alert(1)", "//example.com"):
        assert leads_nowhere(await stranger.get(f"/t/c/{token(parts, uuid4(), target=target)}"))
    spaced = await stranger.get(f"/t/c/{token(parts, uuid4(), target='https://example.com/a b')}")
    assert spaced.headers["location"] == "https://example.com/a%20b"


async def test_they_work_while_the_database_is_away() -> None:
    nowhere = "postgresql+asyncpg://nobody@127.0.0.1:1/none"
    settings = Settings(env="dev", database_url=nowhere, temporal_address="127.0.0.1:1", _env_file=None)
    async with open_parts(settings) as parts:
        transport = ASGITransport(create_app(parts))
        async with AsyncClient(transport=transport, base_url="http://t.test") as stranger:
            click = await stranger.get(f"/t/c/{token(parts, uuid4())}")
            pixel = await stranger.get(f"/t/o/{token(parts, uuid4(), 'opened')}")
    assert (click.status_code, click.headers["location"].partition("?")[0]) == (302, "https://example.com/a")
    assert (pixel.status_code, len(pixel.content)) == (200, 43)


async def test_a_database_that_stands_still_holds_nobody_up(stranger: AsyncClient, parts: Parts) -> None:
    async with parts.database.transaction() as session:
        await session.execute(text("LOCK TABLE receipt"))
        answer = await stranger.get(f"/t/c/{token(parts, uuid4())}", timeout=5)
    assert answer.status_code == 302


async def test_they_are_no_part_of_the_described_api(stranger: AsyncClient) -> None:
    assert [
        path for path in (await stranger.get("http://localhost/openapi.json")).json()["paths"] if path.startswith("/t/")
    ] == []
