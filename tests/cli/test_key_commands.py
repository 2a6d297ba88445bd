"""Test `tocsin keys` and `tocsin tenants` from a terminal: what they print, and that the keys work."""

import re
from datetime import UTC, datetime

import pytest

from providers.web_push.vapid import load_private_key, public_key_of
from tests.api_tenants import ApiTenant
from tests.cli.terminal import TOCSIN, Terminal, one_line

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


def some_tenant() -> str:
    return datetime.now(UTC).strftime("t%H%M%S%f")


async def test_a_key_is_made_in_the_database_and_works_at_once(terminal: Terminal, api_tenant: ApiTenant) -> None:
    tenant = some_tenant()
    made = await terminal.run(TOCSIN, "tenants", "create", tenant)
    assert (made.code, made.out, made.err) == (0, "", "")
    assert tenant in (await terminal.ok("tenants", "list")).splitlines()
    scopes = ("--scope", "read", "--scope", "send")
    key = (await terminal.ok("keys", "create", "--tenant", tenant, "--name", "ci", *scopes)).strip()
    assert re.fullmatch(r"tk_dev_[\w-]{43}", key)
    assert (await terminal.tocsin("tail", TOCSIN_API_KEY=key)).code == 0
    refused = await terminal.tocsin("apply", "examples/shop", TOCSIN_API_KEY=key)
    assert refused.code == 1
    assert "scope" in refused.err


async def test_a_typo_is_no_new_tenant_and_names_those_there_are(terminal: Terminal, api_tenant: ApiTenant) -> None:
    tenant = some_tenant()
    await terminal.ok("tenants", "create", tenant)
    before = await terminal.ok("tenants", "list")
    typo = tenant.replace("t", "tt", 1)
    line = await one_line(await terminal.tocsin("keys", "create", "--tenant", typo, "--name", "n", "--scope", "read"))
    assert line.startswith(f"tocsin: there is no tenant {typo}; existing tenants: ")
    assert line.endswith("; 'tocsin tenants create' creates one")
    named = line.split("; ")[1].removeprefix("existing tenants: ").split(", ")
    there = [line.split()[0] for line in before.splitlines()]
    assert named == [*there[:20], *(["…"] if len(there) > 20 else [])]
    assert await terminal.ok("tenants", "list") == before


async def test_a_tenant_is_created_once_with_a_valid_name(terminal: Terminal, api_tenant: ApiTenant) -> None:
    tenant = some_tenant()
    await terminal.ok("tenants", "create", tenant)
    line = await one_line(await terminal.tocsin("tenants", "create", tenant))
    assert line.startswith(f"tocsin: tenant {tenant} already exists")
    for bad in ("", "a b", "-/x", "a" * 129):
        line = await one_line(await terminal.tocsin("tenants", "create", "--", bad))
        assert line.startswith("tocsin: a tenant key has up to 128 letters")


async def test_the_webhook_secret_is_printed_alone(terminal: Terminal, api_tenant: ApiTenant) -> None:
    result = await terminal.run(TOCSIN, "keys", "webhook-secret")
    assert (result.code, result.out, result.err) == (
        0,
        (await api_tenant.call("GET", "/webhook-secret"))["secret"] + "\n",
        "",
    )


async def test_a_new_key_pair_for_web_push_is_printed_as_settings(terminal: Terminal) -> None:
    outputs = [(await terminal.ok("keys", "vapid")).splitlines() for _ in range(2)]
    for setting, comment in outputs:
        private_key = setting.removeprefix("TOCSIN_WEB_PUSH_PRIVATE_KEY=")
        assert comment.startswith("# ")
        assert comment.endswith(f" {public_key_of(load_private_key(private_key))}")
    assert outputs[0] != outputs[1]
