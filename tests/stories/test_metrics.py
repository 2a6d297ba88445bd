"""Check the metrics page after real sends: correct numbers and no personal data."""

import httpx2
import pytest
from sqlalchemy import text

from metrics.samples import CIRCUIT_STATES, GAUGE_DEFINITIONS
from tests.api_tenants import ApiTenant
from tests.metrics.names import LABELS, PREFIX, exported, families, samples, value
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

ATTEMPTS = "tocsin_attempts_total"


async def read_page(api_tenant: ApiTenant) -> str:
    async with httpx2.AsyncClient(trust_env=False) as http:
        response = await http.get(f"{api_tenant.engine.api_url}/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return response.text


# Receipts of earlier tests' messages that the sandbox has not posted or the engine has not applied.
PENDING_RECEIPTS = text("""
SELECT (SELECT count(*) FROM sandbox_receipt WHERE posted_at IS NULL AND due_at < now() + interval '1 minute')
     + (SELECT count(*) FROM receipt WHERE applied_at IS NULL AND next_attempt_at IS NOT NULL)
""")


async def wait_for_other_tests(api_tenant: ApiTenant) -> None:
    """Wait for the receipts of earlier tests, because the metrics count all tenants of the process."""

    async def count_pending() -> int:
        async with api_tenant.engine.container.database.transaction() as session:
            return int((await session.execute(PENDING_RECEIPTS)).scalar_one())

    await eventually(count_pending, (0).__eq__)


async def test_sends_are_counted_by_outcome(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("welcome", ["email"])
    await wait_for_other_tests(api_tenant)
    before = await read_page(api_tenant)
    for recipient, address in (("ada", "ada@example.com"), ("bob", "bob+refuse@example.com")):
        await api_tenant.put_recipient(recipient, email=address)
    await api_tenant.put_recipient("eve", email="eve@example.com")
    await api_tenant.call("PUT", "/recipients/eve/preferences", {"global_channel_opt_in": {"email": False}})
    await api_tenant.wait_for_status(await api_tenant.send("welcome", "ada", priority=2), "DELIVERED")
    await api_tenant.wait_for_status(await api_tenant.send("welcome", "bob"), "FAILED")
    await api_tenant.wait_for_status(await api_tenant.send("welcome", "eve"), "SUPPRESSED")
    after = await read_page(api_tenant)

    def increase(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    email = {"provider": "sandbox", "channel": "email"}
    assert increase("tocsin_notifications_accepted_total") == 3
    assert increase("tocsin_notifications_accepted_total", priority="2") == 1
    assert increase(ATTEMPTS, outcome="accepted", **email) == 1
    assert increase(ATTEMPTS, outcome="refused", **email) == 1
    assert increase("tocsin_attempt_duration_seconds_count", provider="sandbox") == 2
    assert increase("tocsin_accept_to_attempt_seconds_count") == 2
    assert increase("tocsin_accept_duration_seconds_count") == 3
    assert increase("tocsin_notifications_sent_total") == 1
    assert increase("tocsin_notifications_delivered_total") == 1
    assert increase("tocsin_notifications_failed_total", reason="refused") == 1
    assert increase("tocsin_notifications_suppressed_total") == 1
    assert increase("tocsin_deliveries_total", channel="email", status="delivered") == 1


async def test_an_unknown_outcome_is_counted(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("code", ["email"], delivery_guarantee="at_most_once")
    await api_tenant.put_recipient("ada", email="ada+lost@example.com")
    before = await read_page(api_tenant)
    await api_tenant.wait_until_finished(await api_tenant.send("code"))
    after = await read_page(api_tenant)
    unknown = {"outcome": "unknown", "provider": "sandbox"}
    assert value(after, ATTEMPTS, **unknown) - value(before, ATTEMPTS, **unknown) == 1
    name = "tocsin_notifications_in_doubt_total"
    assert value(after, name) - value(before, name) == 1


async def test_a_repeated_send_is_not_counted_twice(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("welcome", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    before = await read_page(api_tenant)
    for _ in range(2):
        await api_tenant.send("welcome", key="once")
    name = "tocsin_notifications_accepted_total"
    assert value(await read_page(api_tenant), name) - value(before, name) == 1


async def test_the_leader_exports_gauges_of_the_installation(api_tenant: ApiTenant) -> None:
    def is_sampled(page: str) -> bool:
        return set(GAUGE_DEFINITIONS) <= set(families(page))

    page = await eventually(lambda: read_page(api_tenant), is_sampled)
    assert {labels["priority"] for labels, _ in samples(page, "tocsin_queue_depth")} == set("12345")
    circuits = {labels["state"]: number for labels, number in samples(page, "tocsin_provider_circuit_state")}
    assert set(circuits) == set(CIRCUIT_STATES)
    assert value(page, "tocsin_leader") == 1


async def test_the_page_holds_no_personal_data(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("very-private-type", ["email"])
    await api_tenant.put_recipient("very-private-recipient", email="very-private-address+refuse@example.com")
    await api_tenant.wait_until_finished(
        await api_tenant.send("very-private-type", "very-private-recipient", payload={"name": "Ada"})
    )
    page = await read_page(api_tenant)
    for private in ("very-private", "example.com", str(api_tenant.tenant), api_tenant.key, "Ada"):
        assert private not in page


async def test_names_types_and_labels_follow_the_conventions(api_tenant: ApiTenant) -> None:
    known = exported()
    for name, family in families(await read_page(api_tenant)).items():
        if not name.startswith(PREFIX):
            continue
        assert known[f"{name}_total" if family.type == "counter" else name] == family.type
        assert family.documentation.endswith(".")
        assert {label for sample in family.samples for label in sample.labels} <= LABELS


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_a_request_through_a_proxy_does_not_see_the_page(api_tenant: ApiTenant, header: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        response = await http.get(f"{api_tenant.engine.api_url}/metrics", headers={header: "203.0.113.7"})
    assert response.status_code == 404
    assert "tocsin_" not in response.text
