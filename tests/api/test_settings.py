"""Test a tenant's settings: absent members stay, and tenants are isolated."""

from typing import Any

import pytest

from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres

FIRST: dict[str, Any] = {
    "default_language": "en",
    "timezone": "UTC",
    "frequency_cap": None,
    "content_days": 90,
    "record_days": 400,
    "phone_regions": None,
    "email_sender": None,
    "email_reply_to": None,
    "chat_rooms": {},
}
CAP = {"limit": 20, "per": "1d"}


async def read(api_tenant: ApiTenant) -> dict[str, Any]:
    shown: dict[str, Any] = (await api_tenant.http.get("/settings")).json()
    return shown


async def patch(api_tenant: ApiTenant, **changes: Any) -> dict[str, Any]:
    response = await api_tenant.http.patch("/settings", json=changes)
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()
    return shown


async def test_a_new_tenant_has_english_utc_and_no_frequency_cap(api_tenant: ApiTenant) -> None:
    assert await read(api_tenant) == FIRST


async def test_omitted_settings_stay(api_tenant: ApiTenant) -> None:
    assert await patch(api_tenant, timezone="Europe/Vienna") == {**FIRST, "timezone": "Europe/Vienna"}
    assert await patch(api_tenant, frequency_cap=CAP) == {**FIRST, "timezone": "Europe/Vienna", "frequency_cap": CAP}
    wanted = {**FIRST, "default_language": "de-AT", "timezone": "Europe/Vienna", "frequency_cap": CAP}
    assert await patch(api_tenant, default_language="de-AT") == wanted
    assert await patch(api_tenant) == wanted
    assert await read(api_tenant) == wanted


async def test_null_takes_the_cap_away_and_nothing_else(api_tenant: ApiTenant) -> None:
    await patch(api_tenant, timezone="Asia/Tokyo", frequency_cap=CAP)
    nothing = dict.fromkeys(FIRST)
    assert await patch(api_tenant, **nothing) == {**FIRST, "timezone": "Asia/Tokyo"}


async def test_regions_of_phone_numbers_are_set_whole_and_audited(api_tenant: ApiTenant) -> None:
    assert await patch(api_tenant, phone_regions=["DE", "AT", "DE"]) == {**FIRST, "phone_regions": ["AT", "DE"]}
    assert (await patch(api_tenant, timezone="UTC"))["phone_regions"] == ["AT", "DE"]
    assert await patch(api_tenant, phone_regions=None) == FIRST
    changes = await audit_entries(api_tenant)
    assert [(one["before"], one["after"]) for one in changes] == [
        ({"phone_regions": ["AT", "DE"]}, {"phone_regions": None}),
        ({"phone_regions": None}, {"phone_regions": ["AT", "DE"]}),
    ]


async def audit_entries(api_tenant: ApiTenant) -> list[dict[str, Any]]:
    """Return the audit entries of the tenant, newest first."""
    rows = (await api_tenant.http.get("/audit")).json()["items"]
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
        ({"frequency_cap": {"limit": 0, "per": "1d"}}, "/frequency_cap/limit"),
        ({"frequency_cap": {"limit": 1.5, "per": "1d"}}, "/frequency_cap/limit"),
        ({"frequency_cap": {"limit": 1, "per": "32d"}}, "/frequency_cap/per"),
        ({"frequency_cap": {"limit": 1}}, "/frequency_cap/per"),
        ({"frequency_cap": {"limit": 1, "per": "1d", "on_exceed": "drop"}}, "/frequency_cap/on_exceed"),
        ({"timezones": "UTC"}, "/timezones"),
        ({"content_days": 0}, "/content_days"),
        ({"record_days": 3651}, "/record_days"),
        ({"record_days": 89}, "/record_days"),
        ({"content_days": 401}, "/record_days"),
    ],
)
async def test_a_bad_setting_is_named_and_changes_nothing(
    api_tenant: ApiTenant, body: dict[str, Any], pointer: str
) -> None:
    response = await api_tenant.http.patch("/settings", json={"default_language": "fr", **body})
    assert list(validation_errors(response)) == [pointer]
    assert await read(api_tenant) == FIRST


async def test_days_that_are_kept_are_set_together_or_alone(api_tenant: ApiTenant) -> None:
    assert await patch(api_tenant, content_days=7, record_days=30) == {**FIRST, "content_days": 7, "record_days": 30}
    assert await patch(api_tenant, record_days=7) == {**FIRST, "content_days": 7, "record_days": 7}
