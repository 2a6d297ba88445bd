import socket
from collections.abc import Iterator

import pytest

from embedded.errors import StackError
from embedded.ports import claim_ports, free_port, is_free

EVERYWHERE = "0.0.0.0"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_free_port_is_kept_as_requested() -> None:
    port = free_port()
    assert claim_ports({"TOCSIN_API_PORT": port}, {}) == {"TOCSIN_API_PORT": port}


def test_zero_picks_ports_that_are_free_and_differ() -> None:
    claimed = claim_ports({"A": 0, "B": 0, "C": 0}, {})
    assert len(set(claimed.values())) == 3
    assert all(is_free(port) for port in claimed.values())


def test_a_picked_port_is_never_one_that_another_process_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    requested = free_port()
    monkeypatch.setattr(
        "embedded.ports.random.sample", lambda candidates, count: [requested, requested + 1, requested + 2]
    )
    assert claim_ports({"A": 0, "B": requested}, {})["A"] != requested


def test_picked_ports_lie_outside_the_range_of_outgoing_connections() -> None:
    with socket.socket() as outgoing:
        outgoing.bind(("127.0.0.1", 0))
        assert free_port() < outgoing.getsockname()[1]


def test_a_port_in_use_is_an_error_with_a_fix(taken_port: int) -> None:
    with pytest.raises(StackError, match=f"port {taken_port} is taken; set TOCSIN_API_PORT=0 to pick a free one"):
        claim_ports({"TOCSIN_API_PORT": taken_port}, {})


def test_one_port_requested_twice_is_refused() -> None:
    port = free_port()
    with pytest.raises(StackError, match="set B=0"):
        claim_ports({"A": port, "B": port}, {})


def test_a_port_used_on_loopback_is_used_for_all_addresses(taken_port: int) -> None:
    with pytest.raises(StackError):
        claim_ports({"TOCSIN_API_PORT": taken_port}, {"TOCSIN_API_PORT": EVERYWHERE})
