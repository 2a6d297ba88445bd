"""A tenant's settings: what is not given stays, and each tenant has its own."""

from typing import Any

import pytest

from tests.api.shops import Shop, faults

pytestmark = pytest.mark.postgres

FIRST = {
    "default_language": "en",
    "timezone": "UTC",
    "person_cap": None,
    "content_days": 90,
    "record_days": 400,
    "phone_regions": None,
}
CAP = {"limit": 20, "per": "1d"}


async def read(shop: Shop) -> dict[str, Any]:
    shown: dict[str, Any] = (await shop.http.get("/settings")).json()
    return shown


async def patch(shop: Shop, **changes: Any) -> dict[str, Any]:
    response = await shop.http.patch("/settings", json=changes)
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()
    return shown


async def test_a_new_tenant_speaks_english_in_utc_and_caps_nobody(shop: Shop) -> None:
    assert await read(shop) == FIRST


async def test_what_is_not_given_stays(shop: Shop) -> None:
    assert await patch(shop, timezone="Europe/Vienna") == {**FIRST, "timezone": "Europe/Vienna"}
    assert await patch(shop, person_cap=CAP) == {**FIRST, "timezone": "Europe/Vienna", "person_cap": CAP}
    wanted = {**FIRST, "default_language": "de-AT", "timezone": "Europe/Vienna", "person_cap": CAP}
    assert await patch(shop, default_language="de-AT") == wanted
    assert await patch(shop) == wanted
    assert await read(shop) == wanted


async def test_null_takes_the_cap_away_and_nothing_else(shop: Shop) -> None:
    await patch(shop, timezone="Asia/Tokyo", person_cap=CAP)
    nothing: dict[str, Any] = dict.fromkeys(FIRST)
    assert await patch(shop, **nothing) == {**FIRST, "timezone": "Asia/Tokyo"}


async def test_regions_of_phone_numbers_are_set_whole_and_audited(shop: Shop) -> None:
    assert await patch(shop, phone_regions=["DE", "AT", "DE"]) == {**FIRST, "phone_regions": ["AT", "DE"]}
    assert (await patch(shop, timezone="UTC"))["phone_regions"] == ["AT", "DE"]
    assert await patch(shop, phone_regions=None) == FIRST
    changes = await shop_audit(shop)
    assert [(one["before"], one["after"]) for one in changes] == [
        ({"phone_regions": ["AT", "DE"]}, {"phone_regions": None}),
        ({"phone_regions": None}, {"phone_regions": ["AT", "DE"]}),
    ]


async def shop_audit(shop: Shop) -> list[dict[str, Any]]:
    """Of the tenant, newest first."""
    rows = (await shop.http.get("/audit")).json()["items"]
    return [row for row in rows if row["action"] == "settings.changed"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"phone_regions": []}, "/phone_regions"),
        ({"phone_regions": ["XX"]}, "/phone_regions"),
        ({"phone_regions": ["at"]}, "/phone_regions"),
        ({"phone_regions": ["AT", "AUT"]}, "/phone_regions/1"),
        ({"timezone": "Mars/Olympus"}, "/timezone"),
        ({"timezone": 1}, "/timezone"),
        ({"default_language": "not a language"}, "/default_language"),
        ({"person_cap": {"limit": 0, "per": "1d"}}, "/person_cap/limit"),
        ({"person_cap": {"limit": 1.5, "per": "1d"}}, "/person_cap/limit"),
        ({"person_cap": {"limit": 1, "per": "32d"}}, "/person_cap/per"),
        ({"person_cap": {"limit": 1}}, "/person_cap/per"),
        ({"person_cap": {"limit": 1, "per": "1d", "on_exceed": "drop"}}, "/person_cap/on_exceed"),
        ({"timezones": "UTC"}, "/timezones"),
        ({"content_days": 0}, "/content_days"),
        ({"record_days": 3651}, "/record_days"),
        ({"record_days": 89}, "/record_days"),
        ({"content_days": 401}, "/record_days"),
    ],
)
async def test_a_bad_setting_is_named_and_changes_nothing(shop: Shop, body: dict[str, Any], pointer: str) -> None:
    response = await shop.http.patch("/settings", json={"default_language": "fr", **body})
    assert list(faults(response)) == [pointer]
    assert await read(shop) == FIRST


async def test_days_that_are_kept_are_set_together_or_alone(shop: Shop) -> None:
    assert await patch(shop, content_days=7, record_days=30) == {**FIRST, "content_days": 7, "record_days": 30}
    assert await patch(shop, record_days=7) == {**FIRST, "content_days": 7, "record_days": 7}
