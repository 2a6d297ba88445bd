"""Test the options of emails: what a send, a type and a tenant may set, and within which domains."""

from typing import Any

import pytest
from sqlalchemy import text

from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres

UNKNOWN = "01a20425-5116-7319-8448-570474ed96c7"
LONG = [f"b{number}@example.com" for number in range(21)]
OPTIONS = {
    "reply_to": {"email": "help@shop.example", "name": "Help"},
    "cc": ["bob@example.com"],
    "bcc": ["archive@example.com"],
    "headers": {"X-Order": "4711", "In-Reply-To": "<first@shop.example>"},
}
DOMAIN_ISSUE = "must have one of the tenant's email domains, which the operator sets"


@pytest.fixture
async def shop(api_tenant: ApiTenant) -> ApiTenant:
    """Return a tenant that may send from shop.example and has a type for email and one for SMS."""
    await api_tenant.allow_email_domains("shop.example")
    for key, channel in (("news", "email"), ("code", "sms")):
        await api_tenant.put_type(key, [channel])
    await api_tenant.put_recipient(email="ada@example.com", phone="+447700900123")
    return api_tenant


async def send_issues(shop: ApiTenant, email: Any, **fields: Any) -> dict[str, str]:
    body = {"notification_type": "news", "recipient_id": "ada", "payload": {"name": "Ada"}, "email": email, **fields}
    body = {name: value for name, value in body.items() if value is not None}
    return validation_errors(await shop.http.post("/notifications/send", json=body))


async def test_a_notification_shows_the_email_options_of_its_send(shop: ApiTenant) -> None:
    id = await shop.send("news", email=OPTIONS)
    assert (await shop.notification(id))["email"] == OPTIONS
    assert (await shop.notification(await shop.send("news")))["email"] is None


async def test_an_international_domain_is_stored_in_ascii(shop: ApiTenant) -> None:
    id = await shop.send("news", email={"cc": ["bob@müller.example"]})
    assert (await shop.notification(id))["email"] == {"cc": ["bob@xn--mller-kva.example"]}


@pytest.mark.parametrize(
    ("email", "pointer", "detail"),
    [
        ({"cc": ["bob"]}, "/email/cc/0", "must be an email address"),
        ({"cc": ["pepé@example.com"]}, "/email/cc/0", "must have only ASCII characters before the @"),
        ({"cc": ["b@example.com", "B@example.com"]}, "/email/cc", "must not repeat an address"),
        (
            {"bcc": LONG},
            "/email/bcc",
            "List should have at most 20 items",
        ),
        ({"reply_to": {"email": "help@other.example"}}, "/email/reply_to/email", DOMAIN_ISSUE),
        ({"reply_to": {"email": "help@sub.shop.example"}}, "/email/reply_to/email", DOMAIN_ISSUE),
        (
            {"reply_to": {"email": "help@shop.example", "name": "a\nb"}},
            "/email/reply_to/name",
            "String should match",
        ),
        ({"headers": {"Subject": "x"}}, "/email/headers/Subject", "is not a header that a send may set"),
        ({"headers": {"X-SMTPAPI": "{}"}}, "/email/headers/X-SMTPAPI", "is not a header that a send may set"),
        ({"headers": {"X-Tocsin-Attempt": "1"}}, "/email/headers/X-Tocsin-Attempt", "is not a header that"),
        ({"headers": {"X-A": "a\r\nBcc: eve@example.com"}}, "/email/headers/X-A", "String should match"),
        ({"headers": {"X-A": "ü"}}, "/email/headers/X-A", "String should match"),
        ({"headers": {f"X-{number}": "1" for number in range(21)}}, "/email/headers", "must have at most 20"),
        ({"from": {"email": "ceo@shop.example"}}, "/email/from", "is not known here"),
    ],
)
async def test_an_invalid_option_is_refused_with_its_position(
    shop: ApiTenant, email: Any, pointer: str, detail: str
) -> None:
    found = await send_issues(shop, email)
    assert list(found) == [pointer]
    assert found[pointer].startswith(detail)


async def upload(shop: ApiTenant, content: bytes, name: str = "notes.txt") -> str:
    headers = {"Content-Type": "text/plain"}
    response = await shop.http.post("/attachments", params={"name": name}, content=content, headers=headers)
    assert response.status_code in (200, 201), response.text
    return str(response.json()["id"])


async def test_attachments_of_a_send_are_kept_for_it(shop: ApiTenant) -> None:
    ids = [await upload(shop, b"one"), await upload(shop, b"two")]
    id = await shop.send("news", email={"attachments": ids})
    assert (await shop.notification(id))["email"] == {"attachments": ids}
    async with shop.database.transaction() as session:
        uses = await session.execute(
            text("SELECT attachment_id::text FROM attachment_use WHERE notification_id = :id"), {"id": id}
        )
        assert set(uses.scalars()) == set(ids)


async def test_unknown_and_repeated_attachments_are_refused(shop: ApiTenant, other_api_tenant: ApiTenant) -> None:
    own, foreign = await upload(shop, b"one"), await upload(other_api_tenant, b"two")
    missing = "there is no such attachment; it may have been deleted"
    assert await send_issues(shop, {"attachments": [own, foreign]}) == {"/email/attachments/1": missing}
    assert list(await send_issues(shop, {"attachments": [own, own]})) == ["/email/attachments"]


async def test_attachments_of_an_email_have_a_limit_together(shop: ApiTenant) -> None:
    ids = [await upload(shop, bytes([letter]) * 5_100_000) for letter in b"ab"]
    assert await send_issues(shop, {"attachments": ids}) == {
        "/email/attachments": "the attachments of an email may have at most 10000000 bytes together"
    }


async def test_an_item_of_a_batch_without_its_attachment_is_refused_alone(shop: ApiTenant) -> None:
    item = {"notification_type": "news", "recipient_id": "ada", "payload": {"name": "Ada"}}
    items = [
        {**item, "email": {"attachments": [await upload(shop, b"one")]}},
        {**item, "email": {"attachments": [UNKNOWN]}},
    ]
    response = await shop.http.post("/notifications/send-batch", json={"items": items})
    assert [each["status"] for each in response.json()["items"]] == [202, 422]


async def test_options_need_an_email_channel(shop: ApiTenant) -> None:
    assert await send_issues(shop, {"cc": ["bob@example.com"]}, notification_type="code") == {
        "/email": "is not possible: the notification type has no email channel"
    }


async def test_options_are_refused_for_an_item_of_a_digest(shop: ApiTenant) -> None:
    await shop.put_type("news", ["email"], digest={"window": "1h"})
    assert await send_issues(shop, {"cc": ["bob@example.com"]}) == {
        "/email": "is not possible: the notification type collects its messages into digests"
    }


async def test_copies_belong_to_one_recipient(shop: ApiTenant) -> None:
    copied, fields = {"cc": ["bob@example.com"]}, {"notification_type": "news", "payload": {"name": "Ada"}}
    shared = await send_issues(shop, copied, recipient_id=None, recipients=[{"recipient_id": "ada"}])
    assert shared == {"": "cc and bcc belong to one recipient: set them in the entries of `recipients`"}
    response = await shop.http.post(
        "/notifications/send", json={**fields, "recipients": [{"recipient_id": "ada", "email": copied}]}
    )
    [entry] = response.json()["items"]
    assert (await shop.notification(entry["id"]))["email"] == copied


async def test_sender_and_reply_address_of_a_type_are_in_the_domains(shop: ApiTenant) -> None:
    body = {"route": [{"channels": ["email"]}], "templates": {"email": "news"}}
    foreign = {"from": {"email": "a@other.example"}, "reply_to": {"email": "b@other.example"}}
    found = validation_errors(await shop.http.put("/notification-types/news", json=body | foreign))
    assert found == {"/from/email": DOMAIN_ISSUE, "/reply_to/email": DOMAIN_ISSUE}
    own = {"from": {"email": "Orders@shop.example", "name": "Orders"}, "reply_to": {"email": "b@shop.example"}}
    response = await shop.http.put("/notification-types/news", json=body | own)
    assert response.status_code == 201, response.text
    assert response.json()["from"] == {"email": "Orders@shop.example", "name": "Orders"}


async def test_sender_and_reply_address_of_a_tenant_are_in_the_domains(shop: ApiTenant) -> None:
    refused = await shop.http.patch("/settings", json={"email_sender": {"email": "a@other.example"}})
    assert validation_errors(refused) == {"/email_sender/email": DOMAIN_ISSUE}
    own = {"email_sender": {"email": "a@shop.example", "name": "Shop"}, "email_reply_to": {"email": "b@shop.example"}}
    assert (await shop.http.patch("/settings", json=own)).status_code == 200
    stored = (await shop.http.get("/settings")).json()
    assert stored["email_sender"] == own["email_sender"]
    assert stored["email_reply_to"] == {"email": "b@shop.example", "name": ""}
