"""Test which Host headers lead to this machine only."""

import pytest

from domain.hosts import host_of, is_loopback


@pytest.mark.parametrize(
    "header", ["localhost", "localhost:8000", "LocalHost.:80", "a.localhost", "127.0.0.1:1", "127.9.9.9", "[::1]:8000"]
)
def test_names_of_this_machine_are_loopback(header: str) -> None:
    assert is_loopback(host_of(header))


@pytest.mark.parametrize(
    "header",
    [
        *("", ":80", "evil.example", "evil.example:8000", "localhost.evil.example", "notlocalhost", "127.0.0.1.nip.io"),
        *("0.0.0.0", "192.168.0.1", "[::]", "[::2]", "127.1", "2130706433", "evil.example@localhost", "localhost/x"),
        *("localhost evil", "localhost:80:90", "[::1", "localhost\n", "l\N{CYRILLIC SMALL LETTER O}calhost"),
    ],
)
def test_other_names_are_not(header: str) -> None:
    assert not is_loopback(host_of(header))
