"""Test `tocsin send`: what it prints, to whom it sends, what it waits for, and a dry run."""

import json
import re

import pytest

from tests.api_tenants import ApiTenant
from tests.cli.terminal import TOCSIN, Terminal

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def test_send_prints_the_id_alone(terminal: Terminal, api_tenant: ApiTenant, hello: None) -> None:
    id = await terminal.ok("send", "hello", "ada", "--email", "ada@example.com", "--payload", '{"name": "Ada"}')
    assert re.fullmatch(r"[0-9a-f-]{36}\n", id)
    assert (await api_tenant.wait_for_status(id.strip(), "DELIVERED"))["recipient_id"] == "ada"


async def test_a_dry_run_of_a_send_shows_each_channel_and_sends_nothing(
    terminal: Terminal, api_tenant: ApiTenant, hello: None
) -> None:
    given = ("send", "hello", "ada", "--email", "ada@example.com", "--payload", '{"name": "Ada"}', "--dry-run")
    first, step, channel = (await terminal.ok(*given)).splitlines()
    assert first == "Dry run, nothing was sent. Decision: send"
    assert step.startswith("step 1 at 20")
    assert channel == "  email: send by sandbox, hello version 1 in en, by rule type.default"
    assert (await api_tenant.call("GET", "/notifications"))["items"] == []
    assert (await terminal.tocsin("send", "hello", "ada", "bob", "--dry-run")).code == 2


async def test_a_dry_run_of_an_sms_shows_its_segments(terminal: Terminal, api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("code", ["sms"])
    await api_tenant.put_recipient(phone="+447700900123")
    *_, channel = (await terminal.ok("send", "code", "ada", "--payload", '{"name": "Ada"}', "--dry-run")).splitlines()
    assert channel.endswith(", by rule type.default, SMS segments: 1 in gsm7")


async def test_send_to_several_recipients_prints_each_id_and_each_refusal(
    terminal: Terminal, api_tenant: ApiTenant, hello: None
) -> None:
    for recipient_id in ("ada", "bob"):
        await api_tenant.put_recipient(recipient_id, email=f"{recipient_id}@example.com")
        await api_tenant.call("PUT", f"/topics/lamps/subscribers/{recipient_id}")
    result = await terminal.tocsin("send", "hello", "ada", "unknown", "bob", "--payload", '{"name": "A"}')
    shown = [await api_tenant.notification(id) for id in result.out.split()]
    assert [one["recipient_id"] for one in shown] == ["ada", "bob"]
    assert (result.code, result.err.startswith("tocsin: unknown: there is no such recipient")) == (1, True)
    out = await terminal.ok("send", "hello", "--topic", "lamps", "--payload", '{"name": "A"}', "--wait")
    assert re.findall(r"^DELIVERED  hello to (\w+)$", out, re.MULTILINE) == ["ada", "bob"]
    for wrong in ((), ("ada", "--topic", "lamps"), ("ada", "bob", "--locale", "de")):
        assert (await terminal.tocsin("send", "hello", *wrong)).code == 2


async def test_send_waits_and_prints_the_outcome(terminal: Terminal, api_tenant: ApiTenant, hello: None) -> None:
    await api_tenant.put_recipient("ada", email="ada@example.com")
    terminal.write("payload.json", json.dumps({"name": "Ada"}))
    out = await terminal.ok("send", "hello", "ada", "--payload", "@payload.json", "--wait")
    assert out.startswith("DELIVERED  hello to ada\n")
    assert [word for word in ("accepted", "rendered", "sent", "delivered") if word not in out] == []


async def test_an_unsent_notification_is_exit_code_1_with_a_reason(terminal: Terminal, hello: None) -> None:
    result = await terminal.run(
        *(TOCSIN, "send", "hello", "ada", "--email", "ada+refuse@example.com", "--payload", '{"name": "A"}', "--wait")
    )
    assert result.code == 1
    assert result.out.startswith("FAILED  email: refused")


async def test_the_same_idempotency_key_is_the_same_notification(
    terminal: Terminal, api_tenant: ApiTenant, hello: None
) -> None:
    await api_tenant.put_recipient("ada", email="ada@example.com")
    ids = {await terminal.ok("send", "hello", "ada", "--idempotency-key", "once") for _ in range(2)}
    assert len(ids) == 1


async def test_send_goes_to_the_channels_that_are_named(terminal: Terminal, api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("both", ["email", "sms", "in_app"])
    await api_tenant.put_recipient("ada", email="ada@example.com", phone="+447700900142")
    only = ("--channel", "sms", "--channel", "in_app")
    out = await terminal.ok("send", "both", "ada", "--payload", '{"name": "A"}', *only, "--wait")
    assert re.findall(r"^  (\w+)", out, re.MULTILINE) == ["sms", "in_app"]


async def test_a_wait_that_times_out_prints_its_duration(
    terminal: Terminal, api_tenant: ApiTenant, hello: None
) -> None:
    await api_tenant.put_recipient("ada", email="ada+error@example.com")
    result = await terminal.tocsin("send", "hello", "ada", "--payload", '{"name": "A"}', "--wait", "--timeout", "0.5")
    assert result.code == 1
    assert result.out.startswith("PENDING")
    id = (await api_tenant.call("GET", "/notifications"))["items"][0]["id"]
    assert result.err == f"tocsin: still in progress after 0.5 s; check again with 'tocsin show {id}'\n"
    await api_tenant.cancel(id)
