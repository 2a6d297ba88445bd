"""Test that the secret verifies webhooks, sent by the adapter as bootstrap builds it."""

import base64
import logging
from collections.abc import AsyncIterator
from uuid import UUID

import httpx2
import pytest
import standardwebhooks

from bootstrap import Container, open_container
from config import Settings
from domain.channels import Channel
from providers.outcomes import ProviderAcceptance
from testing.vendors.http import Request
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.outgoing_messages import outgoing_message
from tests.receivers import open_event_receiver

pytestmark = pytest.mark.postgres

PATH = "/webhook-secret"


@pytest.fixture
async def webhooks(database_url: str) -> AsyncIterator[Container]:
    settings = Settings(
        env="dev",
        database_url=database_url,
        temporal_address="127.0.0.1:1",
        secret_key="an installation of its own",
        webhook_providers=["webhook"],
        _env_file=None,
    )
    async with open_container(settings) as container:
        yield container


async def delivered(container: Container, tenant: UUID) -> Request:
    """Return the requests that a receiver on this machine got."""
    async with open_event_receiver() as endpoint:
        message = outgoing_message(
            Channel.WEBHOOK, tenant=tenant, address={"url": endpoint.url}, content={"body": "Grüße"}
        )
        assert isinstance(await container.providers["webhook"].send(message), ProviderAcceptance)
    [request] = endpoint.requests
    return request


async def secret_of(api_tenant: ApiTenant) -> str:
    return str((await api_tenant.http.get(PATH)).json()["secret"])


async def test_the_secret_verifies_a_real_delivery_and_another_tenants_does_not(webhooks: Container) -> None:
    async with open_in_process_tenant(webhooks) as api_tenant, open_in_process_tenant(webhooks) as other:
        request = await delivered(webhooks, api_tenant.tenant)
        headers = dict(request.headers)
        read = standardwebhooks.Webhook(await secret_of(api_tenant)).verify(request.body, headers)
        assert read["data"]["body"] == "Grüße"
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(await secret_of(other)).verify(request.body, headers)


async def test_the_response_is_not_cached(
    api: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    response = await api.get(PATH)
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    secret = response.json()["secret"]
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert secret not in caplog.text + "".join(capfd.readouterr())
