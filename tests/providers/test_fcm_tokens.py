"""Test the access tokens of FCM: shared, renewed, refused and missing ones."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from providers.outcomes import (
    PermanentError,
    ProviderError,
    TemporaryError,
)
from providers.transport import VendorResponse
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.polling import wait_until
from tests.providers.harness_fcm import FcmBench


@pytest.fixture
async def bench() -> AsyncIterator[FcmBench]:
    async with FcmBench.running() as bench:
        yield bench


async def test_many_sends_at_once_share_one_token(bench: FcmBench) -> None:
    await asyncio.gather(*(bench.provider.send(bench.message_in_mode(VendorMode.GOOD)) for _ in range(10)))
    assert (len(bench.vendor.tokens), len(bench.vendor.log.requests)) == (1, 10)


async def test_a_token_that_is_about_to_end_is_renewed(bench: FcmBench) -> None:
    bench.vendor.lasts = 200
    for _ in range(2):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert len(bench.vendor.tokens) == 2


async def test_a_token_that_was_refused_is_dropped(bench: FcmBench) -> None:
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    with pytest.raises(PermanentError):
        await bench.provider.send(bench.message_in_mode(VendorMode.BREAKS))
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert len(bench.vendor.tokens) == 2


async def test_a_refused_token_that_worked_before_is_renewed_once(
    bench: FcmBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first token may have been revoked. If the new one is refused as well, the account is."""
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    with monkeypatch.context() as later:
        later.setattr("providers.access_tokens.NEW_TOKEN_SECONDS", 0.0)
        with pytest.raises(TemporaryError, match="token_expired"):
            await bench.provider.send(bench.message_in_mode(VendorMode.BREAKS))
    assert len(bench.vendor.tokens) == 1
    with pytest.raises(PermanentError, match="credentials_refused"):
        await bench.provider.send(bench.message_in_mode(VendorMode.BREAKS))
    assert len(bench.vendor.tokens) == 2
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert len(bench.vendor.tokens) == 3


async def test_a_late_refusal_of_a_former_token_condemns_no_account(
    bench: FcmBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many calls with a revoked token, one is answered after another has fetched the next token."""
    bench.vendor.lasts, renewed, post = 200, asyncio.Event(), bench.transport.post

    async def delay_refusals(url: str, **request: Any) -> VendorResponse:
        http_response = await post(url, **request)
        if http_response.status == 401:
            await renewed.wait()
        return http_response

    monkeypatch.setattr(bench.transport, "post", delay_refusals)
    late = asyncio.create_task(bench.provider.send(bench.message_in_mode(VendorMode.BREAKS)))
    await wait_until(lambda: bench.vendor.log.requests)
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert len(bench.vendor.tokens) == 2
    renewed.set()
    with pytest.raises(TemporaryError, match="token_expired"):
        await late
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(status=400, body={"error": "invalid_grant"}), PermanentError),
        (Reply(status=401, body={"error": "invalid_client"}), PermanentError),
        (Reply(status=429), TemporaryError),
        (Reply(status=500), TemporaryError),
        (Reply(status=302, headers={"location": "/token"}), TemporaryError),
        (Reply(status=200, body=b"<html>"), TemporaryError),
        (Reply(status=200, body={"access_token": "t"}), TemporaryError),
    ],
)
async def test_a_missing_token_proves_that_nothing_was_sent(
    bench: FcmBench, reply: Reply, kind: type[ProviderError]
) -> None:
    bench.vendor.token_reply = reply
    with pytest.raises(kind):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert bench.vendor.log.requests == []


async def test_a_token_endpoint_that_hangs_is_cut_before_the_call_is(
    bench: FcmBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.access_tokens.TOKEN_DEADLINE", 0.2)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        provider = bench.adapter(token_url=url)
        with pytest.raises(TemporaryError, match="token_unavailable"):
            await provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert bench.vendor.log.requests == []


async def test_a_lost_response_of_the_token_endpoint_is_no_unknown_send(bench: FcmBench) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async with await asyncio.start_server(reset, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        provider = bench.adapter(token_url=url)
        with pytest.raises(TemporaryError):
            await provider.send(bench.message_in_mode(VendorMode.GOOD))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"type": "service_account"}', '"/etc/passwd"'])
async def test_invalid_credentials_are_an_error_at_start_without_quotes(bench: FcmBench, text: str) -> None:
    with pytest.raises(ValueError, match=r"^TOCSIN_FCM_CREDENTIALS is not the JSON of a service account$") as caught:
        bench.adapter(credentials=SecretStr(text))
    assert caught.value.__suppress_context__
