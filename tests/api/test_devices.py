"""Devices: registered, shown without their tokens, and moved when a phone changes hands."""

from typing import Any

import pytest

from bootstrap import Parts
from tests.api.shops import Shop, faults, open_shop, production

pytestmark = pytest.mark.postgres

ADDRESS = "fcm-token-of-adas-phone-1234"
BROWSER = {"endpoint": "https://push.example.com/ada", "keys": {"p256dh": "BNcR-dreA", "auth": "tBHI_tJI5"}}


async def devices(shop: Shop, path: str) -> dict[str, dict[str, Any]]:
    return {device["device"]: device for device in (await shop.http.get(path)).json()["devices"]}


async def test_a_phone_is_shown_without_its_token(shop: Shop) -> None:
    path = await shop.with_person()
    made = await shop.put(f"{path}/devices/phone", {"kind": "fcm", "token": ADDRESS, "locale": "fr_be"})
    assert made.status_code == 201
    shown = await shop.http.get(path)
    assert shown.json()["devices"] == [made.json()]
    assert set(made.json()) == {"device", "kind", "locale", "token_ends", "created_at", "updated_at"}
    told = {name: made.json()[name] for name in ("device", "kind", "locale", "token_ends")}
    assert told == {"device": "phone", "kind": "fcm", "locale": "fr-BE", "token_ends": "1234"}
    assert ADDRESS[:-4] not in shown.text + made.text


async def test_a_short_token_shows_nothing_of_itself(shop: Shop) -> None:
    path = await shop.with_person()
    assert (await shop.put(f"{path}/devices/phone", {"kind": "apns", "token": "secret"})).json()["token_ends"] is None


async def test_a_browser_is_registered_as_it_serialises_itself(shop: Shop) -> None:
    path = await shop.with_person()
    made = await shop.put(
        f"{path}/devices/laptop", {"kind": "web_push", "subscription": {**BROWSER, "expirationTime": None}}
    )
    assert made.status_code == 201
    assert "push.example.com" not in made.text
    assert (await devices(shop, path))["laptop"]["kind"] == "web_push"


async def test_registering_a_device_again_replaces_it(shop: Shop) -> None:
    path = await shop.with_person()
    await shop.put(f"{path}/devices/phone", {"kind": "fcm", "token": ADDRESS})
    again = await shop.put(f"{path}/devices/phone", {"kind": "apns", "token": "apns-token-of-a-new-phone-5678"})
    assert again.status_code == 200
    assert list(await devices(shop, path)) == ["phone"]
    assert again.json()["kind"] == (await devices(shop, path))["phone"]["kind"] == "apns"


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
async def test_a_phone_that_changed_hands_leaves_its_old_owner(
    shop: Shop, first: dict[str, Any], second: dict[str, Any]
) -> None:
    ada = await shop.with_person()
    bob = f"{ada}-bob"
    await shop.put(bob, {})
    await shop.put(f"{ada}/devices/phone", first)
    await shop.put(f"{ada}/devices/tablet", {"kind": "fcm", "token": "another-token-of-ada"})
    assert (await shop.put(f"{bob}/devices/phone", second)).status_code == 201
    assert list(await devices(shop, ada)) == ["tablet"]
    assert list(await devices(shop, bob)) == ["phone"]


async def test_a_token_under_a_new_name_is_one_device(shop: Shop) -> None:
    path = await shop.with_person()
    await shop.put(f"{path}/devices/old", {"kind": "fcm", "token": ADDRESS})
    await shop.put(f"{path}/devices/new", {"kind": "fcm", "token": ADDRESS})
    assert list(await devices(shop, path)) == ["new"]


async def test_the_same_token_in_two_tenants_stays_in_both(shop: Shop, other_shop: Shop) -> None:
    ours, theirs = await shop.with_person(), await other_shop.with_person()
    await shop.put(f"{ours}/devices/phone", {"kind": "fcm", "token": ADDRESS})
    await other_shop.put(f"{theirs}/devices/phone", {"kind": "fcm", "token": ADDRESS})
    assert list(await devices(shop, ours)) == list(await devices(other_shop, theirs)) == ["phone"]
    assert (await other_shop.http.delete(f"{ours}/devices/phone")).status_code == 404
    assert list(await devices(shop, ours)) == ["phone"]


async def test_a_removed_device_is_gone(shop: Shop) -> None:
    path = await shop.with_person()
    await shop.put(f"{path}/devices/phone", {"kind": "fcm", "token": ADDRESS})
    assert (await shop.http.delete(f"{path}/devices/phone")).status_code == 204
    assert await devices(shop, path) == {}
    assert (await shop.http.delete(f"{path}/devices/phone")).status_code == 404


async def test_a_device_needs_a_known_person(shop: Shop) -> None:
    response = await shop.put(f"/recipients/{shop.person}/devices/phone", {"kind": "fcm", "token": ADDRESS})
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
async def test_a_bad_registration_is_named_and_never_repeated(shop: Shop, body: dict[str, Any], pointer: str) -> None:
    path = await shop.with_person()
    response = await shop.put(f"{path}/devices/phone", body)
    assert list(faults(response)) == [pointer]
    assert "canary" not in response.text
    assert await devices(shop, path) == {}


async def test_production_wants_https_of_a_browsers_endpoint(parts: Parts) -> None:
    subscription = {**BROWSER, "endpoint": "http://push.example.com/ada"}
    async with open_shop(parts, settings=production()) as shop:
        path = await shop.with_person()
        response = await shop.put(f"{path}/devices/laptop", {"kind": "web_push", "subscription": subscription})
        assert list(faults(response)) == ["/subscription/endpoint"]
