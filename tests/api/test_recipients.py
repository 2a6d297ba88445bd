"""Test profiles: what is stored, what is rejected without being repeated, and which keys may read them."""

from typing import Any

import pytest
from fastapi.encoders import jsonable_encoder

from bootstrap import Container
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant, open_in_process_tenant
from tests.production import production_settings

pytestmark = pytest.mark.postgres

ADA: dict[str, Any] = {
    "email": "ada@example.com",
    "phone": "+4917012345678",
    "locale": "de_at",
    "timezone": "Europe/Vienna",
    "attributes": {"name": "Ada", "plan": {"tier": "gold", "seats": 3}},
    "webhook_url": "https://ada.example.com/hook",
}


async def test_a_new_recipient_is_created_and_shown_as_given(api_tenant: ApiTenant) -> None:
    made = await api_tenant.put(f"/recipients/{api_tenant.recipient_id}", ADA)
    assert made.status_code == 201
    shown = (await api_tenant.http.get(f"/recipients/{api_tenant.recipient_id}")).json()
    assert shown == made.json()
    assert shown == {
        **ADA,
        "locale": "de-AT",
        "recipient_id": api_tenant.recipient_id,
        "chat_service": None,
        "devices": [],
        "created_at": shown["created_at"],
        "updated_at": shown["updated_at"],
    }


async def test_put_replaces_the_whole_profile(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient(**ADA)
    replaced = await api_tenant.put(path, {"phone": "+4917087654321"})
    assert replaced.status_code == 200
    shown = (await api_tenant.http.get(path)).json()
    assert (shown["phone"], shown["email"], shown["locale"], shown["attributes"]) == ("+4917087654321", None, None, {})


async def test_patch_keeps_omitted_fields_and_null_clears(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient(**ADA)
    changes = {"phone": None, "timezone": None, "attributes": {"name": None, "plan": {"seats": 4}}}
    patched = await api_tenant.http.patch(path, json=changes)
    assert patched.status_code == 200
    shown = (await api_tenant.http.get(path)).json()
    assert shown["attributes"] == {"plan": {"tier": "gold", "seats": 4}}
    assert (shown["phone"], shown["timezone"], shown["email"], shown["locale"]) == (None, None, ADA["email"], "de-AT")


async def test_patch_with_null_attributes_clears_them_all(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient(**ADA)
    assert (await api_tenant.http.patch(path, json={"attributes": None})).json()["attributes"] == {}


async def test_a_patch_of_nothing_changes_nothing(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient(**ADA)
    before = (await api_tenant.http.get(path)).json()
    after = (await api_tenant.http.patch(path, json={})).json()
    assert {**after, "updated_at": ""} == {**before, "updated_at": ""}


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_unknown_recipient_is_not_found(api_tenant: ApiTenant, method: str) -> None:
    body: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
    assert (await api_tenant.http.request(method, f"/recipients/{api_tenant.recipient_id}", **body)).status_code == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "canary at example.com"),
        ("email", f"{'canary' * 11}@example.com"),
        ("email", "Canary <canary@example.com>"),
        ("email", "canary@example.com\r\nBcc: eve@example.com"),
        ("phone", "canary"),
        ("phone", "004917012345678"),
        ("phone", "+49 170 12345678"),
        ("phone", "+1202555"),
        ("phone", "+99999999999"),
        ("locale", "canary-canary-canary-canary"),
        ("timezone", "Europe/Canary"),
        ("timezone", "../Europe/Vienna"),
        ("timezone", "localtime"),
        ("webhook_url", "ftp://canary.example.com"),
        ("webhook_url", "https://canary:canary@example.com/"),
        ("webhook_url", "https://@canary.example.com/"),
        ("webhook_url", "https://canary.example.com:99999/"),
        ("webhook_url", "https://canary.example.com\\@eve.example.com/"),
        ("webhook_url", "https:///canary"),
        ("webhook_url", "https://canary.example.com/\n"),
        ("chat_url", "canary"),
        ("chat_url", "slack://canary/canary/canary"),
        ("chat_url", "https://canary.example.com/services/T1/B1/x"),
        ("chat_url", "http://127.0.0.1:8025/api/webhooks/1/canary"),
        ("attributes", "canary"),
        ("attributes", ["canary"]),
        ("nickname", "canary"),
    ],
)
async def test_a_bad_field_is_named_and_never_repeated(api_tenant: ApiTenant, field: str, value: object) -> None:
    response = await api_tenant.put(f"/recipients/{api_tenant.recipient_id}", {field: value})
    assert list(validation_errors(response)) == [f"/{field}"]
    assert "canary" not in response.text.lower()
    assert str(value) not in response.text


@pytest.mark.parametrize("email", ["ada@shop.test", "ada@localhost", "ada@mailpit", "ada+refuse@example.com"])
async def test_development_takes_domains_that_mail_never_reaches(api_tenant: ApiTenant, email: str) -> None:
    assert (await api_tenant.put(f"/recipients/{api_tenant.recipient_id}", {"email": email})).json()["email"] == email


@pytest.mark.parametrize("local", ["a" * 64, "ä" * 32])
async def test_an_address_of_254_octets_is_kept_and_suppressed(container: Container, local: str) -> None:
    start = f"{local}@{'b' * 63}.{'c' * 63}."
    email = start + "d" * (254 - len(start.encode()) - len(".com")) + ".com"
    async with open_in_process_tenant(container, settings=production_settings()) as api_tenant:
        path = await api_tenant.put_recipient(email=email)
        assert (await api_tenant.http.get(path)).json()["email"] == email
        made = await api_tenant.http.post("/suppressions", json={"channel": "email", "address": email})
        assert (made.status_code, made.json()["address"]) == (201, email)
        listed = await api_tenant.http.get("/suppressions", params={"address": email})
        assert [item["address"] for item in listed.json()["items"]] == [email]


async def test_production_refuses_addresses_of_a_developers_machine(container: Container) -> None:
    profile = {"email": "canary@shop.test", "webhook_url": "http://canary.example.com/"}
    async with open_in_process_tenant(container, settings=production_settings()) as api_tenant:
        response = await api_tenant.put(f"/recipients/{api_tenant.recipient_id}", profile)
        assert list(validation_errors(response)) == ["/email", "/webhook_url"]
        assert "canary" not in response.text
        path = await api_tenant.put_recipient(**ADA)
        assert list(validation_errors(await api_tenant.http.patch(path, json={"email": "canary@localhost"}))) == [
            "/email"
        ]


async def test_an_international_address_is_kept_in_its_usual_form(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient(email="Ada@EXÄMPLE.de")
    assert (await api_tenant.http.get(path)).json()["email"] == "Ada@exämple.de"


@pytest.mark.parametrize("bad", ["x" * 256, "a%0Ab", "a%C2%85b"])
async def test_an_invalid_recipient_id_is_refused(api_tenant: ApiTenant, bad: str) -> None:
    assert list(validation_errors(await api_tenant.put(f"/recipients/{bad}", {}))) == ["recipient_id"]


async def test_an_id_may_be_almost_any_text(api_tenant: ApiTenant) -> None:
    made = await api_tenant.put("/recipients/auth0%7C1%25%20%C3%A4@x.org", {})
    assert made.json()["recipient_id"] == "auth0|1% ä@x.org"


async def test_an_erasure_returns_an_id_whose_record_names_no_recipient(
    api_tenant: ApiTenant, other_api_tenant: ApiTenant
) -> None:
    path = await api_tenant.put_recipient(**ADA)
    await api_tenant.put(f"{path}/devices/phone", {"kind": "fcm", "token": "token-of-a-phone-1"})
    erased = await api_tenant.http.delete(path)
    assert erased.status_code == 202
    assert list(erased.json()) == ["erasure_id"]
    account = f"/erasures/{erased.json()['erasure_id']}"
    assert erased.headers["location"] == f"/api/v1{account}"
    erasure = await api_tenant.http.get(account)
    assert erasure.json()["finished_at"]
    assert (erasure.json()["counts"]["profiles"], erasure.json()["counts"]["devices"]) == (1, 1)
    assert api_tenant.recipient_id not in erasure.text
    assert (await api_tenant.http.get(path)).status_code == 404
    assert (await api_tenant.http.get(f"{path}/preferences")).status_code == 404
    assert (await other_api_tenant.http.get(account)).status_code == 404


async def test_an_erased_id_may_be_used_again_and_starts_empty(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient(**ADA)
    await api_tenant.put(f"{path}/preferences", {"global_channel_opt_in": {"sms": False}})
    await api_tenant.http.delete(path)
    assert (await api_tenant.put(path, {})).status_code == 201
    assert (await api_tenant.http.get(path)).json()["email"] is None
    assert (await api_tenant.http.get(f"{path}/preferences")).json()["global_channel_opt_in"] == {}


async def test_a_response_contains_json_only(api_tenant: ApiTenant) -> None:
    path = await api_tenant.put_recipient(**ADA)
    shown = (await api_tenant.http.get(path)).json()
    assert jsonable_encoder(shown) == shown
    assert shown["created_at"].endswith("Z")


SLACK_URL = "https://hooks.slack.com/services/T1/B1/canary"


async def test_a_chat_url_is_written_and_never_shown(api_tenant: ApiTenant) -> None:
    path = f"/recipients/{api_tenant.recipient_id}"
    for response in (
        await api_tenant.put(path, {"chat_url": SLACK_URL}),
        await api_tenant.http.get(path),
        await api_tenant.http.patch(path, json={"locale": "de"}),
    ):
        assert response.json()["chat_service"] == "slack"
        assert "canary" not in response.text
    assert (await api_tenant.http.patch(path, json={"chat_url": None})).json()["chat_service"] is None


async def test_a_refused_chat_url_names_the_services(api_tenant: ApiTenant) -> None:
    response = await api_tenant.put(f"/recipients/{api_tenant.recipient_id}", {"chat_url": "syslog://canary"})
    assert validation_errors(response)["/chat_url"].startswith("must be the https URL of a Slack, Discord or Teams")
