"""What a tenant is told verifies what its receivers get, sent by the adapter as bootstrap builds it."""

import base64
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx2
import pytest
import standardwebhooks

from bootstrap import Parts, open_parts
from config import Settings
from domain.channels import Channel
from domain.outgoing import Message
from providers.outcomes import Accepted
from tests.api.shops import Shop, open_shop
from tests.providers.harness_http import Day, Reply, Request, Vendor, serving

pytestmark = pytest.mark.postgres

PATH = "/webhook-secret"


class Endpoint(Vendor):
    """Somebody's receiver, which looks at nothing."""

    def read(self, request: Request) -> tuple[str, Day]:
        return request.headers["webhook-id"], Day.GOOD

    def accepted(self, reference: str, request: Request) -> Reply:
        return Reply(status=204)

    def refused(self, day: Day) -> Reply:
        return Reply(status=400)


@pytest.fixture
async def webhooks(database_url: str) -> AsyncIterator[Parts]:
    settings = Settings(
        env="dev",
        database_url=database_url,
        temporal_address="127.0.0.1:1",
        secret_key="an installation of its own",
        webhook_providers=["webhook"],
        _env_file=None,
    )
    async with open_parts(settings) as parts:
        yield parts


async def delivered(parts: Parts, tenant: UUID) -> Request:
    """What a receiver on this machine got."""
    endpoint = Endpoint()
    async with serving(endpoint):
        message = Message(
            attempt_id=uuid4(),
            delivery_id=uuid4(),
            notification_id=uuid4(),
            tenant=tenant,
            recipient_id="ada",
            notification_type="order.shipped",
            created_at=datetime.now(UTC),
            channel=Channel.WEBHOOK,
            endpoint_id="webhook",
            address={"url": f"{endpoint.url}/hook"},
            content={"body": "Grüße"},
        )
        assert isinstance(await parts.providers["webhook"].send(message), Accepted)
    [request] = endpoint.requests
    return request


async def secret_of(shop: Shop) -> str:
    return str((await shop.http.get(PATH)).json()["secret"])


async def test_the_secret_verifies_a_real_delivery_and_another_tenants_does_not(webhooks: Parts) -> None:
    async with open_shop(webhooks) as shop, open_shop(webhooks) as other:
        request = await delivered(webhooks, shop.tenant)
        headers = dict(request.headers)
        read = standardwebhooks.Webhook(await secret_of(shop)).verify(request.body, headers)
        assert read["data"]["body"] == "Grüße"
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(await secret_of(other)).verify(request.body, headers)


async def test_the_answer_is_kept_by_nobody_on_the_way(
    api: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await api.get(PATH)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    secret = answer.json()["secret"]
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert secret not in caplog.text + "".join(capfd.readouterr())
