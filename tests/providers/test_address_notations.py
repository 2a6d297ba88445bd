"""Test that no notation of an internal address leads to it, and that public addresses are called."""

import httpx2
import pytest

from providers.network_guard import is_blocked, resolve
from providers.outcomes import TemporaryError
from tests.providers.guarded_network import Names, Network, backend, way

INSIDE = {
    "loopback": "http://127.0.0.1/",
    "loopback, another one": "http://127.255.255.254/",
    "loopback by name": "http://localhost/",
    "loopback by name with a dot": "http://localhost./",
    "decimal": "http://2130706433/",
    "hexadecimal": "http://0x7f000001/",
    "hexadecimal in parts": "http://0x7f.0x0.0x0.0x1/",
    "octal": "http://0177.0.0.1/",
    "octal, long": "http://00000000177.0.0.1/",
    "short": "http://127.1/",
    "full-width digits": "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
    "full-width dots": "http://127。0。0。1/",
    "circled digits": "http://①②⑦.⓪.⓪.①/",
    "unspecified": "http://0.0.0.0/",
    "unspecified, short": "http://0/",
    "private 10": "http://10.1.2.3/",
    "private 172": "http://172.31.255.255/",
    "private 192": "http://192.168.1.1/",
    "carrier-grade NAT": "http://100.64.0.1/",
    "Alibaba's metadata": "http://100.100.100.200/",
    "metadata of AWS, Google, Azure": "http://169.254.169.254/latest/meta-data/",
    "metadata in decimal": "http://2852039166/",
    "AWS's containers": "http://169.254.170.2/",
    "Azure's platform": "http://168.63.129.16/",
    "Oracle's metadata": "http://192.0.0.192/",
    "documentation": "http://203.0.113.7/",
    "benchmarks": "http://198.19.0.1/",
    "6to4 relay": "http://192.88.99.1/",
    "multicast": "http://224.0.0.1/",
    "reserved": "http://240.0.0.1/",
    "broadcast": "http://255.255.255.255/",
    "loopback v6": "http://[::1]/",
    "unspecified v6": "http://[::]/",
    "IPv4-mapped": "http://[::ffff:127.0.0.1]/",
    "IPv4-mapped, hexadecimal": "http://[::ffff:7f00:1]/",
    "IPv4-mapped metadata": "http://[::ffff:169.254.169.254]/",
    "IPv4-compatible": "http://[::127.0.0.1]/",
    "IPv4-translated": "http://[::ffff:0:127.0.0.1]/",
    "NAT64": "http://[64:ff9b::7f00:1]/",
    "NAT64, local use": "http://[64:ff9b:1::a9fe:a9fe]/",
    "6to4": "http://[2002:7f00:1::]/",
    "Teredo": "http://[2001:0:7f00:1::]/",
    "unique local": "http://[fc00::1]/",
    "AWS's metadata v6": "http://[fd00:ec2::254]/",
    "Google's metadata v6": "http://[fd20:ce::254]/",
    "link-local v6": "http://[fe80::1]/",
    "site-local v6": "http://[fec0::1]/",
    "multicast v6": "http://[ff02::1]/",
    "discard v6": "http://[100::1]/",
    "documentation v6": "http://[2001:db8::1]/",
    "with credentials": "http://example.com@127.0.0.1/",
    "with a port": "http://127.0.0.1:8000/",
}


@pytest.mark.parametrize("url", INSIDE.values(), ids=INSIDE)
async def test_no_notation_leads_to_an_internal_address(url: str) -> None:
    """Use the system's own resolver, which understands such notations. httpx2 and the resolver refuse what they do not
    understand.
    """
    network = Network()
    async with way(backend(network=network)) as transport:
        with pytest.raises(TemporaryError, match="connect_failed"):
            await transport.post(url, content=b"{}")
    assert network.called == []


@pytest.mark.parametrize("url", INSIDE.values(), ids=INSIDE)
async def test_every_notation_of_the_resolver_is_refused_by_its_address(url: str) -> None:
    """The test above would also pass if nothing could be resolved at all."""
    try:
        host = httpx2.URL(url).raw_host.decode().strip("[]")
        addresses = await resolve(host, 80)
    except (httpx2.InvalidURL, OSError):
        return
    assert addresses
    assert all(is_blocked(address) for address in addresses)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.215.14", "100.63.255.255", "100.128.0.0", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"],
)
async def test_a_public_address_is_called(address: str) -> None:
    network = Network()
    async with way(backend(Names([address]), network)) as transport:
        assert (await transport.post("http://example.com/hook", content=b"{}")).status == 200
    assert network.called == [address]
