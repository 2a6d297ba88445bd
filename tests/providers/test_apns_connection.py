"""Test the connection to APNs: many messages on one, renewed provider tokens, GOAWAY, resets and silence."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise

import jwt
import pytest

import providers.http2
from domain.evidence import CallResult
from domain.outgoing_messages import OutgoingMessage
from providers.apns.adapter import Apns
from providers.apns.tokens import ProviderTokens
from services.provider_calls import send_once as send
from testing.vendors.http2 import Http2Stream
from testing.vendors.modes import VendorMode
from tests.polling import eventually
from tests.providers.harness_apns import ApnsBench, key

ACCEPTED, UNKNOWN = CallResult.ACCEPTED, CallResult.UNKNOWN
HOUR = 3_600.0


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApnsBench]:
    """Give calls the time that they need on a slow machine."""
    monkeypatch.setattr(Apns, "deadline", 60.0)
    monkeypatch.setattr(providers.http2, "READ_TIMEOUT", 60.0)
    async with ApnsBench.running() as bench:
        yield bench


def messages(bench: ApnsBench, count: int, mode: VendorMode = VendorMode.GOOD) -> list[OutgoingMessage]:
    return [bench.message_in_mode(mode) for _ in range(count)]


async def results(bench: ApnsBench, sent: list[OutgoingMessage]) -> list[CallResult]:
    return [outcome.result for outcome in await asyncio.gather(*(send(bench.provider, each) for each in sent))]


def start(bench: ApnsBench, sent: list[OutgoingMessage]) -> "asyncio.Task[list[CallResult]]":
    return asyncio.ensure_future(results(bench, sent))


def check_kept_once(bench: ApnsBench, sent: list[OutgoingMessage]) -> None:
    assert bench.vendor.log.kept == bench.vendor.log.called == Counter(str(each.attempt_id) for each in sent)


async def test_300_messages_share_one_connection(bench: ApnsBench) -> None:
    sent = messages(bench, 300)
    for first in range(0, 300, 30):
        assert await results(bench, sent[first : first + 30]) == [ACCEPTED] * 30
    check_kept_once(bench, sent)
    assert len(bench.vendor.connections) == 1
    assert len(bench.vendor.tokens) == 1


async def test_a_provider_token_is_renewed_during_sends_without_a_failure(
    bench: ApnsBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, skipped = time.time(), 0.0
    monkeypatch.setattr("time.time", lambda: began + skipped)
    sent = messages(bench, 60)
    held = messages(bench, 10, VendorMode.HOLDS)
    waiting = start(bench, held)
    await held_calls(bench, 10)
    for first in range(0, 60, 10):
        assert await results(bench, sent[first : first + 10]) == [ACCEPTED] * 10
        skipped += 0.5 * HOUR
    bench.vendor.release()
    assert await waiting == [ACCEPTED] * 10
    check_kept_once(bench, sent + held)
    assert len(bench.vendor.tokens) == 6
    assert len(bench.vendor.connections) == 1


async def held_calls(bench: ApnsBench, count: int) -> None:
    async def held() -> int:
        return bench.vendor.held

    await eventually(held, lambda number: number == count)


async def test_a_goaway_during_sends_loses_nothing_and_repeats_nothing(bench: ApnsBench) -> None:
    """The server responds to what it has begun. It ignores later requests, which go to a new connection."""
    begun, later = messages(bench, 20, VendorMode.HOLDS), messages(bench, 20)
    waiting = start(bench, begun)
    await held_calls(bench, 20)
    bench.vendor.connections[0].go_away()
    after = start(bench, later)
    bench.vendor.release()
    assert await waiting == await after == [ACCEPTED] * 20
    check_kept_once(bench, begun + later)
    assert len(bench.vendor.connections) == 2


async def test_a_goaway_between_sends_goes_unnoticed(bench: ApnsBench) -> None:
    sent = messages(bench, 3)
    for message in sent:
        assert (await send(bench.provider, message)).result is ACCEPTED
        bench.vendor.connections[-1].go_away()
    check_kept_once(bench, sent)
    assert len(bench.vendor.connections) == 3


async def test_a_goaway_without_the_responses_leaves_the_outcome_unknown(
    bench: ApnsBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers.http2, "DRAIN_TIME", 0.1)
    sent = messages(bench, 3, VendorMode.ACCEPTS_AND_HANGS)
    waiting = start(bench, sent)

    async def called() -> int:
        return len(bench.vendor.log.calls)

    await eventually(called, lambda number: number == 3)
    bench.vendor.connections[0].go_away()
    assert await waiting == [UNKNOWN] * 3
    check_kept_once(bench, sent)
    assert (await send(bench.provider, bench.message_in_mode(VendorMode.GOOD))).result is ACCEPTED


async def test_a_reset_stream_leaves_the_other_requests_alone(
    bench: ApnsBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Http2Stream, "reset", Http2Stream.reset_stream)
    held, lost = messages(bench, 5, VendorMode.HOLDS), messages(bench, 5, VendorMode.LOSES)
    waiting = start(bench, held)
    await held_calls(bench, 5)
    assert await results(bench, lost) == [UNKNOWN] * 5
    bench.vendor.release()
    assert await waiting == [ACCEPTED] * 5
    check_kept_once(bench, held + lost)
    assert len(bench.vendor.connections) == 1


async def test_a_silent_connection_gets_no_further_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers.http2, "READ_TIMEOUT", 0.3)
    async with ApnsBench.running() as bench:
        outcome = await send(bench.provider, bench.message_in_mode(VendorMode.HANGS))
        assert (outcome.result, outcome.reason) == (UNKNOWN, "timeout")
        assert (await send(bench.provider, bench.message_in_mode(VendorMode.GOOD))).result is ACCEPTED
        assert len(bench.vendor.connections) == 2


async def test_a_violation_of_the_protocol_proves_nothing(bench: ApnsBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window update by nothing. The request was sent before."""
    monkeypatch.setattr(
        Http2Stream, "reset", lambda stream: stream.connection.write(bytes.fromhex("00000408000000000000000000"))
    )
    outcome = await send(bench.provider, bench.message_in_mode(VendorMode.LOSES))
    assert (outcome.result, outcome.reason) == (UNKNOWN, "connection_lost")


def ages_and_intervals(*starts: float, monkeypatch: pytest.MonkeyPatch) -> tuple[list[float], list[int]]:
    """Return the ages of the tokens of several processes, each minute of a day, and the times between them."""
    clock = 0.0
    monkeypatch.setattr("time.time", lambda: clock)
    ages, issued = [], set()
    for started in starts:
        tokens = ProviderTokens("T", "K", key("ours"))
        for minute in range(24 * 60):
            clock = 1_800_000_000.0 + started + minute * 60
            claims = jwt.decode(tokens.get_token(), options={"verify_signature": False})
            ages.append(clock - claims["iat"])
            issued.add(claims["iat"])
    return ages, [after - before for before, after in pairwise(sorted(issued))]


def test_processes_together_renew_their_tokens_within_20_to_60_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    ages, intervals = ages_and_intervals(0.0, 401.0, 1_789.5, monkeypatch=monkeypatch)
    assert 300 <= min(ages) <= max(ages) <= 2_100
    assert set(intervals) == {1_800}


async def test_an_untrusted_certificate_gets_no_message(bench: ApnsBench, monkeypatch: pytest.MonkeyPatch) -> None:
    async with providers.http2.http2_client() as client:
        bench.transport = providers.http2.Http2Transport(client)
        outcome = await send(bench.adapter(), bench.message_in_mode(VendorMode.GOOD))
    assert (outcome.result, outcome.reason) == (CallResult.NOT_ACCEPTED, "connect_failed")
    assert bench.vendor.log.calls == []
