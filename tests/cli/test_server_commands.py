"""Test the commands that start servers: one line for each wrong setting, and the queues that a worker serves."""

import asyncio

import pytest

from dispatch.temporal.connection import connect
from tests.api_tenants import ApiTenant
from tests.cli.terminal import Terminal
from tests.production import KEY_VARIABLES
from worker import UnknownQueue, build_workers, check_queues

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

NOWHERE = {"TOCSIN_DATABASE_URL": "postgresql://127.0.0.1:1/none", "TOCSIN_TEMPORAL_ADDRESS": "127.0.0.1:1"}
TWILIO = {"TOCSIN_SMS_PROVIDERS": "twilio", "TOCSIN_TWILIO_ACCOUNT_SID": "AC1", "TOCSIN_TWILIO_AUTH_TOKEN": "t"}
NO_SENDER = "set either TOCSIN_TWILIO_FROM or TOCSIN_TWILIO_MESSAGING_SERVICE_SID\n"


async def test_a_server_with_invalid_settings_prints_one_line_each(terminal: Terminal, api_tenant: ApiTenant) -> None:
    result = await terminal.tocsin("api", TOCSIN_ENV="dev", **NOWHERE, **TWILIO)
    assert (result.code, result.err) == (2, f"api: {NO_SENDER}")
    result = await terminal.tocsin("worker", TOCSIN_ENV="production", TOCSIN_API_PORT="many", **KEY_VARIABLES)
    assert result.code == 2
    port, secret = result.err.splitlines()
    assert port.startswith("worker: TOCSIN_API_PORT: ")
    assert secret.startswith("worker: TOCSIN_SECRET_KEY must be set")
    there = {"TOCSIN_DATABASE_URL": api_tenant.engine.container.settings.database_url}
    temporal = {"TOCSIN_TEMPORAL_ADDRESS": api_tenant.engine.temporal_address}
    result = await terminal.tocsin("worker", TOCSIN_ENV="dev", **there, **temporal, **TWILIO)
    assert (result.code, result.err) == (2, f"worker: {NO_SENDER}")


async def test_make_run_starts_nothing_with_settings_that_are_wrong(terminal: Terminal) -> None:
    data = terminal.folder / "data"
    result = await terminal.tocsin("dev", TOCSIN_DATA_DIR=str(data), **TWILIO)
    assert (result.code, result.out, result.err) == (1, "", f"tocsin: {NO_SENDER}")
    file = {"TOCSIN_PUSH_PROVIDERS": "fcm", "TOCSIN_FCM_CREDENTIALS_FILE": "nowhere.json"}
    result = await terminal.tocsin("dev", TOCSIN_DATA_DIR=str(data), **file)
    assert result.err == "tocsin: TOCSIN_FCM_CREDENTIALS_FILE: nowhere.json cannot be read\n"
    assert not data.exists()


async def test_a_worker_serves_the_queues_that_are_named(api_tenant: ApiTenant) -> None:
    container = api_tenant.engine.container
    client = await connect(api_tenant.engine.temporal_address, "default", lazy=False)
    for queues in (["deliver-sandbox"], ["notifications", "deliver-in_app"]):
        assert [one.task_queue for one in build_workers(container, client, queues)] == queues


async def test_an_unknown_queue_is_an_error_that_names_valid_queues(
    terminal: Terminal,
) -> None:
    async with asyncio.timeout(60):
        result = await terminal.tocsin("worker", "--queue", "deliver-pigeon", TOCSIN_ENV="dev", **NOWHERE)
    assert result.code == 2
    assert result.err == (
        "worker: there is no queue deliver-pigeon; choose from notifications, deliver-in_app, deliver-sandbox\n"
    )


def test_the_queues_that_may_be_named_are_those_that_are_served(api_tenant: ApiTenant) -> None:
    container = api_tenant.engine.container
    served = ["notifications", *(f"deliver-{name}" for name in container.providers)]
    check_queues(container.settings, served)
    for queue in ("deliver-twilio", "", "Notifications"):
        with pytest.raises(UnknownQueue, match="choose from " + ", ".join(served)):
            check_queues(container.settings, [queue])
