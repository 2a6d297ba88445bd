"""Test that the public key of web push is the one that tokens are signed for."""

from typing import Any

import pytest
from httpx2 import Response

from bootstrap import Container, open_container
from config import Settings
from providers.web_push.adapter import WebPush
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.providers.harness_web_push import PRIVATE_KEY, PUBLIC_KEY

pytestmark = pytest.mark.postgres


async def read_key(container: Container) -> Response:
    async with open_in_process_tenant(container) as api_tenant:
        return await api_tenant.http.get("/web-push-key")


async def test_a_site_reads_the_public_key(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_WEB_PUSH_PRIVATE_KEY", PRIVATE_KEY)
    monkeypatch.setenv("TOCSIN_WEB_PUSH_SUBJECT", "mailto:ops@example.com")
    given: dict[str, Any] = {
        "database_url": database_url,
        "temporal_address": "127.0.0.1:1",
        "web_push_providers": ["web_push"],
    }
    async with open_container(Settings(env="dev", _env_file=None, **given)) as container:
        response = await read_key(container)
        provider = container.providers["web_push"]
    assert (response.status_code, response.json()) == (200, {"public_key": PUBLIC_KEY})
    assert isinstance(provider, WebPush)
    assert provider.public_key == PUBLIC_KEY


async def test_there_is_no_key_without_the_provider(api_tenant: ApiTenant) -> None:
    response = await api_tenant.http.get("/web-push-key")
    assert (response.status_code, response.json()["detail"]) == (
        404,
        "The provider web_push is not in TOCSIN_WEB_PUSH_PROVIDERS.",
    )
