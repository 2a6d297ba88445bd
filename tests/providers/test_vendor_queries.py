"""Test queries over HTTP: the meaning of each response, which is never an unknown outcome."""

import asyncio
from typing import Any

import pytest

from domain.json_types import Json
from providers.outcomes import PermanentError, ProviderError, TemporaryError, UnknownOutcome
from providers.transport import VendorResponse
from providers.vendor_queries import parse_json, parse_records, query_timeout


def response(status: int, body: bytes = b"") -> VendorResponse:
    return VendorResponse(status=status, headers={}, body=body)


async def test_a_lookup_that_exceeds_the_deadline_is_temporary() -> None:
    with pytest.raises(TemporaryError, match="timeout"):
        async with query_timeout(0.01):
            await asyncio.Event().wait()


async def test_an_unknown_result_of_a_lookup_is_temporary() -> None:
    with pytest.raises(TemporaryError, match="connection_lost") as caught:
        async with query_timeout(1):
            raise UnknownOutcome("connection_lost", {"error": "ReadError"})
    assert caught.value.response == {"error": "ReadError"}


async def test_a_refusal_and_an_internal_error_pass_unchanged() -> None:
    with pytest.raises(PermanentError):
        async with query_timeout(1):
            raise PermanentError("credentials_refused")
    with pytest.raises(KeyError):
        async with query_timeout(1):
            raise KeyError


def test_an_object_is_returned_as_parsed() -> None:
    assert parse_json(response(200, b'{"status": "active"}')) == {"status": "active"}


@pytest.mark.parametrize(
    ("status", "body", "error", "reason"),
    [
        (200, b"", TemporaryError, "malformed_response"),
        (200, b"[1]", TemporaryError, "malformed_response"),
        (200, b'{"status": "act', TemporaryError, "malformed_response"),
        pytest.param(200, b"[" * 100_000, TemporaryError, "malformed_response", id="bottomless"),
        (401, b"{}", PermanentError, "credentials_refused"),
        (404, b"{}", PermanentError, "unexpected_answer"),
        (400, b'{"code": 1}', PermanentError, "unexpected_answer"),
        (429, b"", TemporaryError, "throttled"),
    ],
)
def test_every_other_response_is_an_error(status: int, body: bytes, error: type[ProviderError], reason: str) -> None:
    with pytest.raises(error) as caught:
        parse_json(response(status, body))
    assert caught.value.reason == reason


def test_records_are_a_list_of_objects() -> None:
    assert parse_records({"messages": []}, "messages") == []
    assert parse_records({"messages": [{"sid": 1}]}, "messages") == [{"sid": 1}]


@pytest.mark.parametrize("body", [{}, {"messages": None}, {"messages": {}}, {"messages": [7]}, {"data": []}])
def test_a_response_without_messages_does_not_prove_absence(body: Json | Any) -> None:
    with pytest.raises(TemporaryError, match="malformed_response"):
        parse_records(body, "messages")
