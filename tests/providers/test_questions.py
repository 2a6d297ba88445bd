"""Questions over HTTP: what an answer, or none, is to one who asks; never that something may have been accepted."""

import asyncio
from typing import Any

import pytest

from providers.outcomes import Json, Permanent, ProviderError, Temporary, Unknown
from providers.questions import asking, records, told_by
from providers.transport import Answer


def answer(status: int, body: bytes = b"") -> Answer:
    return Answer(status=status, headers={}, body=body)


async def test_what_takes_longer_than_the_deadline_is_cut_and_temporary() -> None:
    with pytest.raises(Temporary, match="timeout"):
        async with asking(0.01):
            await asyncio.Event().wait()


async def test_what_would_be_unknown_of_a_send_is_temporary_of_a_question() -> None:
    with pytest.raises(Temporary, match="connection_lost") as caught:
        async with asking(1):
            raise Unknown("connection_lost", {"error": "ReadError"})
    assert caught.value.response == {"error": "ReadError"}


async def test_a_refusal_and_an_error_of_our_own_pass_as_they_are() -> None:
    with pytest.raises(Permanent):
        async with asking(1):
            raise Permanent("credentials_refused")
    with pytest.raises(KeyError):
        async with asking(1):
            raise KeyError


def test_an_object_is_what_was_told() -> None:
    assert told_by(answer(200, b'{"status": "active"}')) == {"status": "active"}


@pytest.mark.parametrize(
    ("status", "body", "error", "reason"),
    [
        (200, b"", Temporary, "malformed_answer"),
        (200, b"[1]", Temporary, "malformed_answer"),
        (200, b'{"status": "act', Temporary, "malformed_answer"),
        pytest.param(200, b"[" * 100_000, Temporary, "malformed_answer", id="bottomless"),
        (401, b"{}", Permanent, "credentials_refused"),
        (404, b"{}", Permanent, "unexpected_answer"),
        (400, b'{"code": 1}', Permanent, "unexpected_answer"),
        (429, b"", Temporary, "throttled"),
    ],
)
def test_every_other_answer_is_an_error(status: int, body: bytes, error: type[ProviderError], reason: str) -> None:
    with pytest.raises(error) as caught:
        told_by(answer(status, body))
    assert caught.value.reason == reason


def test_records_are_a_list_of_objects() -> None:
    assert records({"messages": []}, "messages") == []
    assert records({"messages": [{"sid": 1}]}, "messages") == [{"sid": 1}]


@pytest.mark.parametrize("told", [{}, {"messages": None}, {"messages": {}}, {"messages": [7]}, {"data": []}])
def test_an_answer_without_them_does_not_prove_that_there_are_none(told: Json | Any) -> None:
    with pytest.raises(Temporary, match="malformed_answer"):
        records(told, "messages")
