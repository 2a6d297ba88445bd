"""Callbacks that are not believed: what the sender is told, and what the operator finds in the log."""

import time

import httpx2
import pytest
from structlog.testing import capture_logs

from bootstrap import Parts
from providers.sandbox import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign

pytestmark = pytest.mark.postgres

BODY = b'{"events": []}'


@pytest.mark.parametrize(
    ("secret", "age", "body", "status", "reason"),
    [
        (None, 0, BODY, 401, "there is no signature"),
        (b"a guess", 0, BODY, 401, "the signature does not match"),
        (b"", 3600, BODY, 401, "the timestamp is more than five minutes away from our clock"),
        (b"", 0, b"[]", 400, "not a list of sandbox events"),
    ],
    ids=["unsigned", "forged", "old", "unreadable"],
)
async def test_a_receipt_that_is_refused_is_logged_with_its_reason(
    api: httpx2.AsyncClient, parts: Parts, secret: bytes | None, age: int, body: bytes, status: int, reason: str
) -> None:
    at = str(int(time.time()) - age)
    signature = "" if secret is None else sign(secret or parts.settings.secret, at, body)
    with capture_logs() as logs:
        headers = {TIMESTAMP_HEADER: at, SIGNATURE_HEADER: signature}
        answer = await api.post("/receipts/sandbox", content=body, headers=headers)
    assert answer.status_code == status
    assert "API key" not in answer.text
    [line] = [line for line in logs if line["event"] == "receipt refused"]
    assert (line["log_level"], line["provider"], line["reason"]) == ("warning", "sandbox", reason)


@pytest.mark.parametrize(
    ("provider", "detail"),
    [("in_app", "This provider reports nothing."), ("twilio", "This provider is in no channel's pool.")],
)
async def test_why_there_is_nobody_to_take_it_is_told(api: httpx2.AsyncClient, provider: str, detail: str) -> None:
    answer = await api.post(f"/receipts/{provider}", content=BODY)
    assert (answer.status_code, answer.json()["detail"]) == (404, detail)
