"""Test that only existing things can be paused and resumed, and that resuming without a pause changes nothing."""

import pytest

from domain.holds import HoldKind
from storage import holds
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres

UNKNOWN = [
    "/providers/unknown",
    "/providers/in%5Fapp%20",
    "/channels/pigeon",
    "/channels/EMAIL",
    "/notification-types/nothing",
    "/schedules/nothing",
    "/schedules/no%20key",
]
TYPE = {"category": "ORDERS", "route": [{"channels": ["sms"]}], "templates": {"sms": "shipped"}}


async def posted(api_tenant: ApiTenant, path: str) -> tuple[int, object]:
    response = await api_tenant.http.post(path)
    return response.status_code, response.json().get("paused")


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize("path", UNKNOWN)
async def test_an_unknown_name_is_not_found(api_tenant: ApiTenant, path: str, verb: str) -> None:
    response = await api_tenant.http.post(f"{path}/{verb}")
    assert (response.status_code, response.json()["type"]) == (404, "urn:tocsin:problem:not-found")


@pytest.mark.parametrize("path", ["/providers/sandbox", "/channels/email", "/notification-types/shipped"])
async def test_an_existing_target_can_be_resumed_repeatedly(api_tenant: ApiTenant, path: str) -> None:
    assert (await api_tenant.put("/notification-types/shipped", TYPE)).status_code == 201
    assert await posted(api_tenant, f"{path}/resume") == (200, False)
    assert await posted(api_tenant, f"{path}/pause") == (200, True)
    assert await posted(api_tenant, f"{path}/pause") == (200, True)
    assert await posted(api_tenant, f"{path}/resume") == (200, False)
    assert await posted(api_tenant, f"{path}/resume") == (200, False)


async def test_a_deleted_type_is_resumed_but_not_paused(api_tenant: ApiTenant) -> None:
    path = "/notification-types/shipped"
    assert (await api_tenant.put(path, TYPE)).status_code == 201
    assert await posted(api_tenant, f"{path}/pause") == (200, True)
    assert (await api_tenant.http.delete(path)).status_code == 204
    assert await posted(api_tenant, f"{path}/resume") == (200, False)
    assert await posted(api_tenant, f"{path}/resume") == (200, False)
    assert (await posted(api_tenant, f"{path}/pause"))[0] == 404


async def test_a_paused_provider_that_left_the_pools_is_resumed_once(api_tenant: ApiTenant) -> None:
    async with api_tenant.database.transaction() as session:
        await holds.pause(session, api_tenant.tenant, HoldKind.PROVIDER, "former", None)
    assert await posted(api_tenant, "/providers/former/resume") == (200, False)
    assert (await posted(api_tenant, "/providers/former/resume"))[0] == 404
