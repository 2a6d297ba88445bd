"""Test merged pages of several processes, and the server that shows them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest

from metrics.fetch import fetch_page
from metrics.page import UP_METRIC, MetricsPage, merge_pages
from metrics.registry import ProcessGauges
from metrics.server import MetricsSockets, serve_metrics
from tests.metrics.names import families, samples, value

PAGE = """# HELP tocsin_attempts_total Attempts.
# TYPE tocsin_attempts_total counter
tocsin_attempts_total{provider="smtp",outcome="accepted"} 2.0
# HELP tocsin_leader Leads.
# TYPE tocsin_leader gauge
tocsin_leader 1.0
"""
SLOTS = "tocsin_slots_max"


def page_of(slots: int) -> MetricsPage:
    page = MetricsPage()
    page.add(ProcessGauges({SLOTS: lambda: slots}))
    return page


@pytest.fixture
def sockets() -> Iterator[MetricsSockets]:
    sockets = MetricsSockets.open("127.0.0.1", 0, 2)
    yield sockets
    sockets.close()


@pytest.fixture
async def served(sockets: MetricsSockets) -> AsyncIterator[MetricsSockets]:
    async with serve_metrics(sockets, 0, page_of(3)), serve_metrics(sockets, 1, page_of(5)):
        yield sockets


async def page_at(port: int) -> str:
    """Read a page as Prometheus does, which waits longer than a process waits for another one."""
    page = await fetch_page(port, within=10)
    assert page is not None
    return page


def test_pages_of_processes_become_one_page_with_a_label() -> None:
    page = merge_pages({0: PAGE, 1: PAGE})
    assert value(page, "tocsin_attempts_total", provider="smtp") == 4
    assert [labels["process"] for labels, _ in samples(page, "tocsin_attempts_total")] == ["0", "1"]
    assert page.count("# TYPE tocsin_leader gauge") == 1


def test_a_label_value_with_a_brace_and_a_blank_keeps_its_text() -> None:
    page = merge_pages({0: '# TYPE x gauge\nx{state="a } b"} 1.0\n'})
    assert list(samples(page, "x")) == [({"process": "0", "state": "a } b"}, 1.0)]


def test_a_process_without_a_response_is_shown_as_down() -> None:
    page = merge_pages({0: PAGE, 1: None})
    assert [(labels["process"], number) for labels, number in samples(page, UP_METRIC)] == [("0", 1), ("1", 0)]
    assert value(page, "tocsin_leader") == 1


async def test_the_shared_port_shows_every_process_from_any_process(served: MetricsSockets) -> None:
    for _ in range(4):
        page = await page_at(served.port)
        shown = {labels["process"]: number for labels, number in samples(page, SLOTS)}
        assert shown == {"0": 3, "1": 5}


async def test_a_process_that_is_started_again_takes_its_socket_again(sockets: MetricsSockets) -> None:
    async with serve_metrics(sockets, 0, page_of(3)):
        async with serve_metrics(sockets, 1, page_of(5)):
            assert value(await page_at(sockets.port), UP_METRIC) == 2
        async with serve_metrics(sockets, 1, page_of(7)):
            assert value(await page_at(sockets.port), SLOTS, process="1") == 7


async def test_a_page_of_a_frozen_process_does_not_hold_up_the_others(sockets: MetricsSockets) -> None:
    async with serve_metrics(sockets, 0, page_of(3)):
        page = await page_at(sockets.port)
    assert [(labels["process"], number) for labels, number in samples(page, UP_METRIC)] == [("0", 1), ("1", 0)]


@pytest.mark.parametrize("request_line", ["GET / HTTP/1.1", "POST /metrics HTTP/1.1", "\x00\x01"])
async def test_only_the_page_is_served(served: MetricsSockets, request_line: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(f"{request_line}\r\nHost: localhost\r\n\r\n".encode())
    assert (await reader.read(-1)).startswith(b"HTTP/1.1 404")
    writer.close()


async def test_a_rebound_name_reads_no_page_on_loopback(served: MetricsSockets) -> None:
    for port in (served.port, served.by_process[0].getsockname()[1]):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: rebound.example\r\n\r\n")
        assert (await reader.read(-1)).startswith(b"HTTP/1.1 421")
        writer.close()


async def test_a_client_with_an_oversized_request_is_dropped(served: MetricsSockets) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /" + b"x" * 200_000)
    with suppress(ConnectionError):
        assert await reader.read(-1) == b""
    writer.close()
    assert value(await page_at(served.port), UP_METRIC) == 2


def test_a_taken_port_is_an_error(sockets: MetricsSockets) -> None:
    with pytest.raises(OSError, match="in use"):
        MetricsSockets.open("127.0.0.1", sockets.port, 1)


async def test_a_gauge_without_a_label_parses() -> None:
    page = MetricsPage()
    page.add(ProcessGauges({"tocsin_leader": lambda: True}))
    family = families(await page.text())["tocsin_leader"]
    assert (family.type, family.samples[0].value) == ("gauge", 1)
