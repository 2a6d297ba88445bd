"""Test that every response has security headers, and that in development pages without a key need a name of this
machine."""

import re

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from api.request_middleware import DENY_ALL_POLICY, RequestIdMiddleware

pytestmark = pytest.mark.postgres
LOCAL = "http://localhost:8000"
PAGES = ["/docs", "/docs/start.js", "/docs/static/swagger-ui.css", "/outbox", "/openapi.json", "/metrics", "/nowhere"]
OPEN = ["/healthz", "/readyz", "/t/o/none", "/api/v1/recipients/none", "/api/v1/nowhere"]


@pytest.mark.parametrize("path", [*PAGES, *OPEN])
async def test_every_response_has_security_headers(api: httpx2.AsyncClient, path: str) -> None:
    headers = (await api.get(f"{LOCAL}{path}")).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "base-uri 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'unsafe" not in policy
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in headers


async def test_the_docs_run_only_scripts_of_their_own(api: httpx2.AsyncClient) -> None:
    page = await api.get(f"{LOCAL}/docs")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<script(?! src=)|<style|\son\w+=|\sstyle=", page.text) == []
    assert "validatorUrl: null" in (await api.get(f"{LOCAL}/docs/start.js")).text


@pytest.mark.parametrize("host", ["rebound.example:8000", "localhost.rebound.example", "192.168.1.7"])
async def test_a_rebound_name_reads_no_page_in_development(api: httpx2.AsyncClient, host: str) -> None:
    for path in PAGES:
        response = await api.get(f"{LOCAL}{path}", headers={"Host": host})
        assert (response.status_code, response.json()["type"]) == (421, "urn:tocsin:problem:misdirected"), path
    responses = {path: (await api.get(f"{LOCAL}{path}", headers={"Host": host})).status_code for path in OPEN}
    assert 421 not in responses.values()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "docs.localhost"])
async def test_a_name_of_this_machine_reads_the_pages(api: httpx2.AsyncClient, host: str) -> None:
    assert (await api.get(f"{LOCAL}/docs", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(("public_url", "sent"), [("https://tocsin.example", True), ("http://tocsin.example", False)])
async def test_browsers_keep_https_when_the_public_url_uses_it(public_url: str, sent: bool) -> None:
    async def response(request: Request) -> PlainTextResponse:
        return PlainTextResponse("", headers={"Cache-Control": "max-age=1"})

    app = RequestIdMiddleware(Starlette(routes=[Route("/", response)]), public_url)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=public_url) as client:
        headers = (await client.get("/")).headers
    assert headers.get("strict-transport-security") == ("max-age=31536000" if sent else None)
    assert headers.get_list("cache-control") == ["max-age=1"]
    assert headers["content-security-policy"] == DENY_ALL_POLICY
    assert len(headers.get_list("x-request-id")) == 1
