"""Test which addresses count as one source."""

import pytest

from api.limits.source_limits import Sources
from config.limits import PRIVATE_NETWORKS


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:0:1:a::1", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:b::2", "2001:db8:0:1::/64"),
        ("127.0.0.1", None),
        ("10.1.2.3", None),
        ("::1", None),
        ("unknown", None),
    ],
)
def test_a_source_is_an_address_or_an_ipv6_network(address: str, source: str | None) -> None:
    assert Sources(PRIVATE_NETWORKS.split(",")).key(address) == source
