"""Test provider callbacks: the response, the log, and the maximum of one request."""

import json
import time
from datetime import UTC, datetime
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from api.routes.receipts import BODY_LIMIT, VALUE_LIMIT
from bootstrap import Container
from domain.evidence import ReceiptKind
from domain.vendor_values import clean_id
from providers.base import ProviderReceipt
from providers.outcomes import TemporaryError
from providers.sandbox import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from storage.statements import decoded
from testing.vendors.http import Reply
from testing.vendors.log import VendorMessage
from tests.providers.harness_ses import SesBench

pytestmark = pytest.mark.postgres

BODY = b'{"events": []}'


@pytest.mark.parametrize(
    ("secret", "age", "body", "status", "reason"),
    [
        (None, 0, BODY, 401, "the signature is missing"),
        (b"a guess", 0, BODY, 401, "the signature does not match"),
        (b"", 3600, BODY, 401, "the timestamp differs by more than five minutes from the clock of this machine"),
        (b"", 0, b"[]", 400, "the body is not a list of sandbox events"),
    ],
    ids=["unsigned", "forged", "old", "unreadable"],
)
async def test_a_receipt_that_is_refused_is_logged_with_its_reason(
    api: httpx2.AsyncClient, container: Container, secret: bytes | None, age: int, body: bytes, status: int, reason: str
) -> None:
    at = str(int(time.time()) - age)
    signature = "" if secret is None else sign(secret or container.settings.secret, at, body)
    with capture_logs() as logs:
        headers = {TIMESTAMP_HEADER: at, SIGNATURE_HEADER: signature}
        response = await api.post("/receipts/sandbox", content=body, headers=headers)
    assert response.status_code == status
    assert "API key" not in response.text
    [line] = [line for line in logs if line["event"] == "receipt refused"]
    assert (line["log_level"], line["provider"], line["reason"]) == ("warning", "sandbox", reason)


@pytest.mark.parametrize(
    ("provider", "detail"),
    [("in_app", "This provider sends no receipts."), ("twilio", "No channel's pool has this provider.")],
)
async def test_a_receipt_without_a_handler_gets_a_reason(api: httpx2.AsyncClient, provider: str, detail: str) -> None:
    response = await api.post(f"/receipts/{provider}", content=BODY)
    assert (response.status_code, response.json()["detail"]) == (404, detail)


async def post(api: httpx2.AsyncClient, container: Container, body: bytes) -> httpx2.Response:
    at = str(int(time.time()))
    headers = {TIMESTAMP_HEADER: at, SIGNATURE_HEADER: sign(container.settings.secret, at, body)}
    return await api.post("/receipts/sandbox", content=body, headers=headers)


def events(count: int, message_id: str, **more: object) -> bytes:
    """Return a body that reports this many different events of one message."""
    each = {"event": "delivered", "message_id": message_id, "at": "2026-03-01T12:00:00Z", **more}
    return json.dumps({"events": [each | {"number": number} for number in range(count)]}).encode()


async def stored(container: Container, message_id: str) -> int:
    async with container.database.transaction() as session:
        count = text("SELECT count(*) FROM receipt WHERE provider_message_id = :id")
        return int((await session.execute(count, {"id": message_id})).scalar_one())


async def test_a_receipt_is_stored_in_the_form_that_the_provider_parses(
    api: httpx2.AsyncClient, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id, at = f"m-{uuid4()}", datetime(2026, 3, 1, tzinfo=UTC)
    receipt = ProviderReceipt(
        kind=ReceiptKind.UNKNOWN,
        occurred_at=at,
        provider_message_id=message_id,
        raw={"email": "ada@example.com"},
        stored_raw={"email": "str"},
    )
    monkeypatch.setattr(container.providers["sandbox"], "parse_receipts", lambda *_: [receipt])
    assert (await post(api, container, BODY)).status_code == 204
    async with container.database.transaction() as session:
        rows = await session.execute(
            text("SELECT raw FROM receipt WHERE provider_message_id = :id"), {"id": message_id}
        )
        assert [decoded(row.raw) for row in rows] == [{"email": "str"}]


async def test_a_receipt_with_a_used_token_is_not_stored(
    api: httpx2.AsyncClient, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id, at, token = f"m-{uuid4()}", datetime(2026, 3, 1, tzinfo=UTC), uuid4().hex
    genuine, forged = (
        ProviderReceipt(
            kind=kind,
            occurred_at=at,
            provider_message_id=message_id,
            raw={"event": kind, "of": message_id},
            token=token,
        )
        for kind in (ReceiptKind.DELIVERED, ReceiptKind.COMPLAINED)
    )
    for receipt in (genuine, forged, genuine):
        monkeypatch.setattr(container.providers["sandbox"], "parse_receipts", lambda *_, it=receipt: [it])
        assert (await post(api, container, BODY)).status_code == 204
    async with container.database.transaction() as session:
        rows = await session.execute(
            text("SELECT kind FROM receipt WHERE provider_message_id = :id"), {"id": message_id}
        )
        assert list(rows.scalars()) == ["delivered"]


async def test_a_stored_receipt_gets_the_status_that_the_provider_expects(
    api: httpx2.AsyncClient, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(container.providers["sandbox"]), "receipt_status", 200)
    response = await post(api, container, events(1, f"m-{uuid4()}"))
    assert (response.status_code, response.content) == (200, b"")


async def test_a_receipt_whose_key_cannot_be_fetched_is_asked_for_again(
    api: httpx2.AsyncClient, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise TemporaryError("connect_failed")

    monkeypatch.setattr(container.providers["sandbox"], "prepare_receipts", fail)
    message_id = f"m-{uuid4()}"
    response = await post(api, container, events(1, message_id))
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert await stored(container, message_id) == 0


async def test_a_callback_of_sns_is_stored_once_its_certificate_can_be_fetched(
    api: httpx2.AsyncClient, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SesBench.running() as bench:
        monkeypatch.setitem(container.providers, "ses", bench.provider)
        vendor, message_id = bench.vendor, f"m-{uuid4()}"
        message = VendorMessage(reference=str(uuid4()), to="ada@example.com", message_id=message_id)
        body = vendor.receipt_body(message, "Delivery", datetime.now(UTC))
        certificate, vendor.certificate = vendor.certificate, Reply(status=500)
        _, posted = vendor.signed_receipt(body, "", datetime.now(UTC))
        for status, count in ((503, 0), (204, 1), (204, 1)):
            response = await api.post("/receipts/ses", content=posted, headers={"Content-Type": vendor.receipt_type})
            assert response.status_code == status
            assert await stored(container, message_id) == count
            vendor.certificate = certificate
        _, forged = bench.forger.signed_receipt(body, "", datetime.now(UTC))
        assert (await api.post("/receipts/ses", content=forged)).status_code == 401


@pytest.mark.parametrize(("count", "status"), [(1, 204), (1_000, 204), (1_001, 413)])
async def test_a_request_reports_up_to_1000_events(
    api: httpx2.AsyncClient, container: Container, count: int, status: int
) -> None:
    message_id = f"m-{uuid4()}"
    response = await post(api, container, events(count, message_id))
    assert response.status_code == status
    assert await stored(container, message_id) == (count if status == 204 else 0)
    if status == 413:
        assert response.json()["detail"] == "A request may report at most 1000 events."


async def test_the_events_of_a_request_are_stored_by_one_statement(
    api: httpx2.AsyncClient, container: Container
) -> None:
    message_id = f"m-{uuid4()}"
    assert (await post(api, container, events(7, message_id))).status_code == 204
    command = text("SELECT xmin::text, cmin::text, count(*) FROM receipt WHERE provider_message_id = :id GROUP BY 1, 2")
    async with container.database.transaction() as session:
        rows = list(await session.execute(command, {"id": message_id}))
    assert [row[2] for row in rows] == [7]


async def test_an_event_that_a_request_repeats_is_stored_once(api: httpx2.AsyncClient, container: Container) -> None:
    message_id = f"m-{uuid4()}"
    one = json.loads(events(2, message_id))["events"]
    assert (await post(api, container, json.dumps({"events": [*one, *one, one[0]]}).encode())).status_code == 204
    assert await stored(container, message_id) == 2


@pytest.mark.parametrize(("values", "status"), [(VALUE_LIMIT, 204), (VALUE_LIMIT + 1, 413)])
async def test_the_json_values_of_a_receipt_are_limited(
    api: httpx2.AsyncClient, container: Container, values: int, status: int
) -> None:
    # The body, `events`, the event, its four fields and `more` are also values.
    body = events(1, f"m-{uuid4()}", more=[1] * (values - 8))
    response = await post(api, container, body)
    assert response.status_code == status
    if status == 413:
        assert response.json()["detail"] == f"The body may have at most {VALUE_LIMIT} JSON values."


async def test_commas_and_brackets_in_strings_are_no_json_values(api: httpx2.AsyncClient, container: Container) -> None:
    body = events(1, f"m-{uuid4()}", more="[,{" * VALUE_LIMIT)
    assert len(body) < BODY_LIMIT
    assert (await post(api, container, body)).status_code == 204


@pytest.mark.parametrize(
    ("message_id", "more"),
    [
        ("NUL \\u0000", ""),
        ("".join(map(str, range(10_000))), ""),
        ("number", ', "number": 1e999'),
        ("text", r', "text": "\u0000"'),
    ],
    ids=["NUL", "long", "number", "text"],
)
async def test_a_signed_receipt_is_stored_with_any_content(
    api: httpx2.AsyncClient, container: Container, message_id: str, more: str
) -> None:
    unique = f"{uuid4()} {message_id}"
    event = f'{{"event": "delivered", "message_id": "{unique}", "at": "2026-03-01T12:00:00Z"{more}}}'
    response = await post(api, container, f'{{"events": [{event}]}}'.encode())
    assert response.status_code == 204
    known = clean_id(json.loads(f'"{unique}"'))
    assert known is not None
    assert await stored(container, known) == 1
