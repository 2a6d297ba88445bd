"""Test what all fake vendors share beyond the contract suite: complaints, and what a user must install."""

import tomllib
from dataclasses import replace

import httpx2
import pytest

from testing.vendors.http import Request, UndocumentedRequest
from testing.vendors.registry import find_vendors
from testing.vendors.sendgrid import FakeSendGrid
from tests.code.test_imports import imports
from tests.code.tree import ROOT, python_files
from tests.providers.harnesses import HTTP_HARNESSES


async def send_undocumented_request(vendor: FakeSendGrid) -> None:
    async with vendor.running(), httpx2.AsyncClient(base_url=vendor.url, trust_env=False) as http:
        assert (await http.post("/v3/mail/send", json={"to": "ada@example.com"})).status_code == 418


async def test_an_undocumented_request_is_a_complaint_and_not_kept() -> None:
    vendor = FakeSendGrid()
    with pytest.raises(AssertionError, match="undocumented fields"):
        await send_undocumented_request(vendor)
    assert (len(vendor.log.requests), vendor.log.kept.total()) == (1, 0)


def test_every_provider_with_an_http_api_has_a_fake_vendor() -> None:
    assert set(find_vendors()) == set(HTTP_HARNESSES)


async def test_a_vendor_listens_at_its_port_again() -> None:
    async with FakeSendGrid().running() as vendor:
        url = vendor.url
        await vendor.stop()
        async with httpx2.AsyncClient(trust_env=False) as http:
            with pytest.raises(httpx2.ConnectError):
                await http.get(f"{url}/v3/scopes")
            await vendor.start()
            assert (await http.get(f"{url}/v3/scopes")).status_code == 401


def test_a_multipart_form_is_read_exactly() -> None:
    content = b"\r\n--a boundary\r\n\r\n\x00\xff\r\n"
    sent = httpx2.Request("POST", "http://a", data={"to": ["ada", "bob"], "empty": ""}, files={"file": ("é", content)})
    request = Request(method="POST", target="/", headers=sent.headers, body=sent.read())
    assert request.multipart == [("to", b"ada"), ("to", b"bob"), ("empty", b""), ("file", content)]
    with pytest.raises(UndocumentedRequest, match="no end"):
        _ = replace(request, body=request.body[:-4]).multipart


def test_only_two_vendors_need_a_development_dependency() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    development = {line.partition(">")[0].replace("-", "_") for line in groups["dev"]}
    needed = {
        (module.path, name.partition(".")[0])
        for module in python_files("testing/vendors")
        for name in imports(module)
        if name.partition(".")[0] in development
    }
    assert needed == {("testing/vendors/smtp.py", "aiosmtpd"), ("testing/vendors/web_push.py", "http_ece")}
