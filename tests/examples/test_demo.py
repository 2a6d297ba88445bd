"""Test the output of `make run` at its start."""

import asyncio
import re
from asyncio.subprocess import PIPE

import pytest

from commands.demo import print_welcome
from config import Settings
from embedded.runfile import RunInfo
from tests.api_tenants import ApiTenant

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


def running(api_tenant: ApiTenant) -> RunInfo:
    url = api_tenant.engine.api_url
    no_pids: dict[str, int | None] = {"api": None, "worker": None, "temporal": None, "postgres": None}
    return RunInfo(
        api_url=url, temporal_address="", temporal_ui_url="", database_url="", api_key=api_tenant.key, pids=no_pids
    )


def settings(**given: list[str]) -> Settings:
    return Settings(env="dev", _env_file=None, **given)  # type: ignore[arg-type]


async def test_the_demo_prints_the_path_of_one_notification(
    api_tenant: ApiTenant, capsys: pytest.CaptureFixture[str]
) -> None:
    await print_welcome(settings(), running(api_tenant))
    output = capsys.readouterr().out
    assert "A notification was just sent and is DELIVERED:" in output
    assert f"{api_tenant.engine.api_url}/outbox      messages of the sandbox\n" in output
    assert [line for line in output.splitlines() if line != line.rstrip()] == []
    assert len(await api_tenant.list_outbox()) == 1


async def test_nothing_is_sent_or_suggested_where_email_is_real(
    api_tenant: ApiTenant, capsys: pytest.CaptureFixture[str]
) -> None:
    await print_welcome(settings(email_providers=["sendgrid=70", "smtp=30"]), running(api_tenant))
    output = capsys.readouterr().out
    assert "Email is sent by sendgrid, smtp, so no demo was sent." in output
    assert (await api_tenant.call("GET", "/notifications"))["items"] == []
    for tempting in ("./tocsin send", "walkthrough.py", "ada@example.com"):
        assert tempting not in output
    [curl] = re.findall(r"^curl .*", output, re.MULTILINE | re.DOTALL)
    refused = await asyncio.create_subprocess_shell(curl.replace("curl", "curl -sS -w %{http_code}", 1), stdout=PIPE)
    body, _ = await refused.communicate()
    assert body.endswith(b"422")


async def test_the_demo_uses_the_sandbox_where_sms_is_real(
    api_tenant: ApiTenant, capsys: pytest.CaptureFixture[str]
) -> None:
    await print_welcome(settings(sms_providers=["twilio"]), running(api_tenant))
    output = capsys.readouterr().out
    assert "DELIVERED:" in output
    assert "sms          twilio" in output
    assert "messages of the sandbox: email, push, web_push, webhook, chat\n" in output
    assert "./tocsin send" not in output


async def test_the_outbox_is_offered_only_where_the_sandbox_is(
    api_tenant: ApiTenant, capsys: pytest.CaptureFixture[str]
) -> None:
    channels = ("email", "sms", "push", "web_push", "webhook", "chat")
    await print_welcome(settings(**{f"{channel}_providers": ["smtp"] for channel in channels}), running(api_tenant))
    assert "/outbox" not in capsys.readouterr().out


async def test_a_failing_demo_prints_a_reason(api_tenant: ApiTenant, capsys: pytest.CaptureFixture[str]) -> None:
    await print_welcome(settings(), running(api_tenant))
    await api_tenant.add_template("welcome", "email", "{{ nothing.at.all }}")
    await print_welcome(settings(), running(api_tenant))
    output = capsys.readouterr().out
    assert "is FAILED (email: template_error: " in output


async def test_a_changed_demo_does_not_block_its_other_parts(
    api_tenant: ApiTenant, capsys: pytest.CaptureFixture[str]
) -> None:
    await print_welcome(settings(), running(api_tenant))
    schema = {"type": "object", "required": ["order"], "properties": {"order": {"type": "string"}}}
    await api_tenant.add_template(
        "welcome", "email", "Order {{ order }}", subject_template="Hi", variables_schema=schema
    )
    await print_welcome(settings(), running(api_tenant))
    output = capsys.readouterr().out
    assert "The demo notification was not sent" in output
    assert "curl -X POST" in output.rpartition("was not sent")[2]
