"""What `make run` says at its start."""

import asyncio
import re
from asyncio.subprocess import PIPE

import pytest

from commands.demo import greet
from config import Settings
from embedded.runfile import RunInfo
from tests.engine import Shop

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


def running(shop: Shop) -> RunInfo:
    url = shop.engine.api_url
    nobody: dict[str, int | None] = {"api": None, "worker": None, "temporal": None, "postgres": None}
    return RunInfo(api_url=url, temporal_address="", temporal_ui_url="", database_url="", api_key=shop.key, pids=nobody)


def settings(**given: list[str]) -> Settings:
    return Settings(env="dev", _env_file=None, **given)  # type: ignore[arg-type]


async def test_it_tells_the_story_of_one_notification(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    await greet(settings(), running(shop))
    said = capsys.readouterr().out
    assert "A notification was just sent and is DELIVERED:" in said
    assert f"{shop.engine.api_url}/outbox      what the sandbox delivered\n" in said
    assert [line for line in said.splitlines() if line != line.rstrip()] == []
    assert len(await shop.outbox()) == 1


async def test_where_e_mail_is_real_nothing_is_sent_and_nothing_tempts(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    await greet(settings(email_providers=["sendgrid=70", "smtp=30"]), running(shop))
    said = capsys.readouterr().out
    assert "E-mail goes to sendgrid, smtp, so no demo was sent." in said
    assert (await shop.ok("GET", "/notifications"))["items"] == []
    for tempting in ("./tocsin send", "story.py", "ada@example.com"):
        assert tempting not in said
    [curl] = re.findall(r"^curl .*", said, re.MULTILINE | re.DOTALL)
    refused = await asyncio.create_subprocess_shell(curl.replace("curl", "curl -sS -w %{http_code}", 1), stdout=PIPE)
    answer, _ = await refused.communicate()
    assert answer.endswith(b"422")


async def test_where_sms_is_real_the_demo_goes_to_the_sandbox_and_the_shops_people_are_left_alone(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    await greet(settings(sms_providers=["twilio"]), running(shop))
    said = capsys.readouterr().out
    assert "DELIVERED:" in said
    assert "sms          twilio" in said
    assert "what the sandbox delivered: email, push, web_push, webhook\n" in said
    assert "./tocsin send" not in said


async def test_the_outbox_is_offered_only_where_the_sandbox_is(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    channels = ("email", "sms", "push", "web_push", "webhook")
    await greet(settings(**{f"{channel}_providers": ["smtp"] for channel in channels}), running(shop))
    assert "/outbox" not in capsys.readouterr().out


async def test_a_demo_that_fails_says_why(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    await greet(settings(), running(shop))
    await shop.template("welcome", "email", "{{ nothing.at.all }}")
    await greet(settings(), running(shop))
    said = capsys.readouterr().out
    assert "is FAILED (email: template_error: " in said


async def test_a_demo_that_people_have_changed_does_not_keep_the_rest_from_running(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    await greet(settings(), running(shop))
    schema = {"type": "object", "required": ["order"], "properties": {"order": {"type": "string"}}}
    await shop.template("welcome", "email", "Order {{ order }}", subject_template="Hi", variables_schema=schema)
    await greet(settings(), running(shop))
    said = capsys.readouterr().out
    assert "The demo notification was not sent" in said
    assert "curl -X POST" in said.rpartition("was not sent")[2]
