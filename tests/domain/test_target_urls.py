"""Test what a URL shows of its target before a lookup."""

import pytest

from domain.target_urls import TargetPolicy

TARGETS = TargetPolicy(own_host="tocsin.example", own_port=8000)
ANY_PORT = TargetPolicy(ports=frozenset(), own_port=8000)


@pytest.mark.parametrize(
    "url", ["https://a.example/", "http://a.example:80/x", "https://[2606::1]/", "http://127.0.0.1/"]
)
def test_the_ports_of_the_web_are_taken_without_a_lookup(url: str) -> None:
    assert TARGETS.find_issue(url) is None


@pytest.mark.parametrize("port", [1, 22, 8000, 8080, 65535])
def test_another_port_is_refused_and_the_allowed_ones_are_named(port: int) -> None:
    assert TARGETS.find_issue(f"https://a.example:{port}/") == "must use one of these ports: 80, 443"
    assert ANY_PORT.find_issue(f"https://a.example:{port}/") is None


@pytest.mark.parametrize("url", ["https://tocsin.example/", "https://TOCSIN.example./x", "http://tocsin.example:443"])
def test_the_public_host_is_refused(url: str) -> None:
    assert TARGETS.find_issue(url) == "must not lead to this installation itself"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_only_the_own_port_of_this_machine_is_refused(host: str) -> None:
    assert ANY_PORT.find_issue(f"http://{host}:8000/") == "must not lead to this installation itself"
    assert ANY_PORT.find_issue(f"http://{host}:8001/") is None
