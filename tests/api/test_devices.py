"""Test that devices are registered, shown without their tokens, and moved when a phone changes hands."""

from typing import Any

import pytest

from bootstrap import Container
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.production import production_settings

pytestmark = pytest.mark.postgres

ADDRESS = "fcm-token-of-adas-phone-1234"
BROWSER = {"endpoint": "https://push.example.com/ada", "keys": {"p256dh": "BNcR-dreA", "auth": "tBHI_tJI5"}}


async def devices(api_tenant: ApiTenant, path: str) -> dict[str, dict[str, Any]]:
    return {device["device"]: device for device in (await api_tenant.http.get(path)).json()["devices"]}


async def test_a_phone_is_shown_without_its_token(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient()
    made = await api_tenant.put(f"{path}/devices/phone", {"kind": "fcm", "token": ADDRESS, "locale": "fr_be"})
    assert made.status_code == 201
    shown = await api_tenant.http.get(path)
    assert shown.json()["devices"] == [made.json()]
    assert set(made.json()) == {"device", "kind", "locale", "token_ends", "created_at", "updated_at"}
    registered = {name: made.json()[name] for name in ("device", "kind", "locale", "token_ends")}
    assert registered == {"device": "phone", "kind": "fcm", "locale": "fr-BE", "token_ends": "1234"}
    assert ADDRESS[:-4] not in shown.text + made.text


async def test_a_short_token_shows_nothing_of_itself(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient()
    assert (await api_tenant.put(f"{path}/devices/phone", {"kind": "apns", "token": "secret"})).json()[
        "token_ends"
    ] is None


async def test_a_browser_is_registered_with_its_serialized_subscription(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient()
    made = await api_tenant.put(
        f"{path}/devices/laptop", {"kind": "web_push", "subscription": {**BROWSER, "expirationTime": None}}
    )
    assert made.status_code == 201
    assert "push.example.com" not in made.text
    assert (await devices(api_tenant, path))["laptop"]["kind"] == "web_push"


async def test_registering_a_device_again_replaces_it(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient()
    await api_tenant.put(f"{path}/devices/phone", {"kind": "fcm", "token": ADDRESS})
    again = await api_tenant.put(f"{path}/devices/phone", {"kind": "apns", "token": "apns-token-of-a-new-phone-5678"})
    assert again.status_code == 200
    assert list(await devices(api_tenant, path)) == ["phone"]
    assert again.json()["kind"] == (await devices(api_tenant, path))["phone"]["kind"] == "apns"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"kind": "fcm", "token": ADDRESS}, {"kind": "fcm", "token": ADDRESS}),
        (
            {"kind": "web_push", "subscription": BROWSER},
            {"kind": "web_push", "subscription": {**BROWSER, "keys": {"p256dh": "renewed", "auth": "renewed"}}},
        ),
    ],
)
async def test_a_phone_with_a_new_owner_leaves_the_old_one(
    api_tenant: ApiTenant, first: dict[str, Any], second: dict[str, Any]
) -> None:
    ada = await api_tenant.put_recipient()
    bob = f"{ada}-bob"
    await api_tenant.put(bob, {})
    await api_tenant.put(f"{ada}/devices/phone", first)
    await api_tenant.put(f"{ada}/devices/tablet", {"kind": "fcm", "token": "another-token-of-ada"})
    assert (await api_tenant.put(f"{bob}/devices/phone", second)).status_code == 201
    assert list(await devices(api_tenant, ada)) == ["tablet"]
    assert list(await devices(api_tenant, bob)) == ["phone"]


async def test_a_token_under_a_new_name_is_one_device(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient()
    await api_tenant.put(f"{path}/devices/old", {"kind": "fcm", "token": ADDRESS})
    await api_tenant.put(f"{path}/devices/new", {"kind": "fcm", "token": ADDRESS})
    assert list(await devices(api_tenant, path)) == ["new"]


async def test_the_same_token_in_two_tenants_stays_in_both(api_tenant: ApiTenant, other_api_tenant: ApiTenant) -> None:
    ours, theirs = await api_tenant.put_recipient(), await other_api_tenant.put_recipient("bob")
    await api_tenant.put(f"{ours}/devices/phone", {"kind": "fcm", "token": ADDRESS})
    await other_api_tenant.put(f"{theirs}/devices/phone", {"kind": "fcm", "token": ADDRESS})
    assert list(await devices(api_tenant, ours)) == list(await devices(other_api_tenant, theirs)) == ["phone"]
    assert (await other_api_tenant.http.delete(f"{ours}/devices/phone")).status_code == 404
    assert list(await devices(api_tenant, ours)) == ["phone"]


async def test_a_removed_device_is_not_found(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient()
    await api_tenant.put(f"{path}/devices/phone", {"kind": "fcm", "token": ADDRESS})
    assert (await api_tenant.http.delete(f"{path}/devices/phone")).status_code == 204
    assert await devices(api_tenant, path) == {}
    assert (await api_tenant.http.delete(f"{path}/devices/phone")).status_code == 404


async def test_a_device_needs_a_known_recipient(api_tenant: ApiTenant) -> None:
    response = await api_tenant.put(
        f"/recipients/{api_tenant.recipient_id}/devices/phone", {"kind": "fcm", "token": ADDRESS}
    )
    assert response.status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "fcm"}, "/token"),
        ({"kind": "apns", "token": ""}, "/token"),
        ({"kind": "fcm", "token": "canary with spaces"}, "/token"),
        ({"kind": "fcm", "token": "x" * 16, "subscription": BROWSER}, "/subscription"),
        ({"kind": "web_push"}, "/subscription"),
        ({"kind": "web_push", "token": "canary", "subscription": BROWSER}, "/token"),
        ({"kind": "web_push", "subscription": {**BROWSER, "endpoint": "canary"}}, "/subscription/endpoint"),
        ({"kind": "web_push", "subscription": {"endpoint": BROWSER["endpoint"]}}, "/subscription/keys"),
        ({"kind": "web_push", "subscription": {**BROWSER, "keys": {"auth": "a"}}}, "/subscription/keys/p256dh"),
        ({"kind": "canary", "token": "x" * 16}, "/kind"),
        ({"token": "x" * 16}, "/kind"),
        ({"kind": "fcm", "token": "x" * 16, "locale": "canary!"}, "/locale"),
    ],
)
async def test_a_bad_registration_is_named_and_never_repeated(
    api_tenant: ApiTenant, body: dict[str, Any], pointer: str
) -> None:
    path = await api_tenant.put_recipient()
    response = await api_tenant.put(f"{path}/devices/phone", body)
    assert list(validation_errors(response)) == [pointer]
    assert "canary" not in response.text
    assert await devices(api_tenant, path) == {}


async def test_production_wants_https_of_a_browsers_endpoint(container: Container) -> None:
    subscription = {**BROWSER, "endpoint": "http://push.example.com/ada"}
    async with open_in_process_tenant(container, settings=production_settings()) as api_tenant:
        path = await api_tenant.put_recipient()
        response = await api_tenant.put(f"{path}/devices/laptop", {"kind": "web_push", "subscription": subscription})
        assert list(validation_errors(response)) == ["/subscription/endpoint"]
