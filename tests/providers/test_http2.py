"""Test how the frames of an HTTP/2 connection reach the library: a GOAWAY last."""

from collections.abc import Sequence

import httpcore2
import pytest
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame

import providers.http2
from providers.http2 import DRAIN_TIME, DrainingStream, http2_client
from providers.transport import outgoing_client

HEADERS = HeadersFrame(1, data=b"\x88").serialize()
DATA = DataFrame(1, data=b"x" * 40).serialize()
GOAWAY = GoAwayFrame(last_stream_id=1).serialize()


class GivenReads(httpcore2.AsyncNetworkStream):
    """Return the reads in their order, then time out like a server that sends no more."""

    def __init__(self, reads: Sequence[bytes | Exception]) -> None:
        self._reads = list(reads)
        self.timeouts: list[float | None] = []

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the interface's
        self.timeouts.append(timeout)
        read = self._reads.pop(0) if self._reads else httpcore2.ReadTimeout()
        if isinstance(read, Exception):
            raise read
        return read


async def frames_read(*reads: bytes | Exception, count: int, is_http2: bool = True) -> list[bytes]:
    stream = DrainingStream(GivenReads(reads), is_http2=is_http2)
    return [await stream.read(65_536, 30.0) for _ in range(count)]


async def test_frames_pass_complete_and_in_their_order() -> None:
    one_byte_each = [bytes([byte]) for byte in HEADERS + DATA]
    assert await frames_read(*one_byte_each, count=2) == [HEADERS, DATA]
    assert await frames_read(HEADERS + DATA, count=1) == [HEADERS + DATA]


@pytest.mark.parametrize("end", [b"", httpcore2.ReadError()])
async def test_a_goaway_passes_after_the_frames_that_follow_it(end: bytes | Exception) -> None:
    assert await frames_read(HEADERS + GOAWAY[:5], GOAWAY[5:], DATA, end, count=3) == [HEADERS, DATA, GOAWAY]


async def test_two_goaways_pass_together() -> None:
    """The first announces the end, the second names the last request."""
    assert await frames_read(GOAWAY, GOAWAY, b"", count=1) == [GOAWAY + GOAWAY]


@pytest.mark.parametrize("allowed", [30.0, None])
async def test_a_goaway_passes_when_no_response_follows_for_a_while(allowed: float | None) -> None:
    given = GivenReads([HEADERS + GOAWAY, DATA])
    stream = DrainingStream(given, is_http2=True)
    assert [await stream.read(65_536, allowed) for _ in range(3)] == [HEADERS, DATA, GOAWAY]
    first, *rest = given.timeouts
    assert first == allowed
    assert all(each is not None and 0 < each <= DRAIN_TIME for each in rest)


async def test_a_lost_connection_without_goaway_is_reported() -> None:
    assert await frames_read(b"", count=1) == [b""]
    for error in (httpcore2.ReadError, httpcore2.ReadTimeout):
        with pytest.raises(error):
            await frames_read(error(), count=1)


async def test_a_frame_that_is_too_large_is_left_to_the_library() -> None:
    start = DataFrame(1, data=b"x" * 20_000).serialize()[:9]
    assert await frames_read(start, count=1) == [start]


async def test_bytes_of_http_1_pass_unchanged() -> None:
    assert await frames_read(b"HTTP/1.1 200 OK\r\n", GOAWAY, count=2, is_http2=False) == [
        b"HTTP/1.1 200 OK\r\n",
        GOAWAY,
    ]


async def test_a_silent_server_is_noticed_before_a_calls_deadline() -> None:
    async with http2_client() as client, outgoing_client() as other:
        assert client.timeout.read == providers.http2.READ_TIMEOUT < 10
        assert (client.timeout.connect, client.timeout.pool) == (other.timeout.connect, other.timeout.pool)
        assert client.follow_redirects is client.trust_env is False
