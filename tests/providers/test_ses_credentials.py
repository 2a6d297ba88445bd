"""Test the credentials of SES: those of the default chain, and missing ones."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from botocore.exceptions import CredentialRetrievalError
from pydantic import SecretStr

from config.sources import InvalidSettings
from providers.outcomes import PermanentError, TemporaryError
from providers.ses.adapter import Ses
from testing.vendors.modes import VendorMode
from testing.vendors.ses import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from tests.providers.harness import tools_with
from tests.providers.harness_ses import SesBench

CHAIN = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")
ENVIRONMENT = dict(zip(CHAIN, (ACCESS_KEY_ID, SECRET_ACCESS_KEY, "token"), strict=False))


@pytest.fixture
async def bench() -> AsyncIterator[SesBench]:
    async with SesBench.running() as bench:
        yield bench


async def test_credentials_of_the_default_chain_sign_the_request(
    bench: SesBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**dict.fromkeys(CHAIN), **ENVIRONMENT}.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    await bench.adapter(access_key_id="", secret_access_key=SecretStr("")).check()
    [request] = bench.vendor.log.lookups
    assert request.headers["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in request.headers["authorization"]


async def test_missing_credentials_are_permanent_and_send_nothing(
    bench: SesBench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in CHAIN:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    adapter = bench.adapter(access_key_id="", secret_access_key=SecretStr(""))
    with pytest.raises(PermanentError, match=r"^credentials_refused$"):
        await adapter.send(bench.message_in_mode(VendorMode.GOOD))
    assert bench.vendor.log.requests == []


async def test_credentials_that_cannot_be_fetched_prove_not_sent(
    bench: SesBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise CredentialRetrievalError(provider="iam-role", error_msg="no route")

    adapter = bench.adapter()
    monkeypatch.setattr(adapter._signer._session, "get_credentials", fail)
    with pytest.raises(TemporaryError, match=r"^token_unavailable$"):
        await adapter.send(bench.message_in_mode(VendorMode.GOOD))
    assert bench.vendor.log.requests == []


async def test_a_missing_extra_is_named_at_startup(bench: SesBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiobotocore.session", None)
    monkeypatch.setenv("TOCSIN_SES_REGION", "eu-west-1")
    monkeypatch.setenv("TOCSIN_SES_FROM", "shop@example.com")
    with pytest.raises(InvalidSettings, match="install the extra 'ses'"):
        Ses.build(tools_with(bench.transport))
