"""Test what a vendor's response says: its message id, its delay, and what statuses mean for every vendor."""

from datetime import UTC, datetime

import pytest

from providers.outcomes import PermanentError, ProviderError, TemporaryError, UnknownOutcome
from providers.transport import VendorResponse, parse_retry_after, raise_common_errors

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "message_id"),
    [
        (b'{"data": {"id": "m-1"}}', "m-1"),
        (b'{"data": {"id": ""}}', None),
        (b'{"data": "m-1"}', None),
        (b'{"id": "m-1"}', None),
    ],
)
def test_the_message_id_can_be_a_nested_field(body: bytes, message_id: str | None) -> None:
    acceptance = VendorResponse(status=200, headers={}, body=body).parse_acceptance(200, "data.id")
    assert (acceptance and acceptance.message_id) == message_id


@pytest.mark.parametrize(
    ("body", "value"), [(b'{"id": 1}', {"id": 1}), (b"[1]", {}), (b"", {}), (b'{"\xff', {}), (b"[" * 60_000, {})]
)
def test_json_that_is_no_object_is_empty(body: bytes, value: object) -> None:
    assert VendorResponse(status=200, headers={}, body=body).json() == value


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("999999999999", 86_400.0),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2027 12:00:00 GMT", 86_400.0),
        ("Sun, 01 Mar 2026 12:01:00", 60.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("\u0667", None),
    ],
)
def test_retry_after_in_either_form(header: str, seconds: float | None) -> None:
    assert parse_retry_after({"retry-after": header}, NOW) == seconds
    assert parse_retry_after({}, NOW) is None


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (429, TemporaryError, "throttled"),
        (401, PermanentError, "credentials_refused"),
        (402, PermanentError, "quota_exceeded"),
        (403, PermanentError, "credentials_refused"),
        (302, PermanentError, "redirected"),
        (500, UnknownOutcome, "server_error"),
        (503, UnknownOutcome, "server_error"),
        (200, UnknownOutcome, "undocumented_success"),
        (204, UnknownOutcome, "undocumented_success"),
    ],
)
def test_common_statuses_have_common_meanings(status: int, error: type[ProviderError], reason: str) -> None:
    with pytest.raises(error, match=reason):
        raise_common_errors(VendorResponse(status=status, headers={}, body=b""))


@pytest.mark.parametrize("status", [400, 404, 422])
def test_the_others_are_for_the_adapter_to_read(status: int) -> None:
    raise_common_errors(VendorResponse(status=status, headers={}, body=b""))
