"""Test `tocsin providers check`: its output and exit code for each provider, and that it sends nothing unless
requested."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from commands.errors import CommandError
from commands.provider_checks import check_named_provider
from config import Settings
from domain.chat_urls import ChatService
from providers.webhook import Webhook
from testing.vendors.modes import VendorMode
from testing.vendors.sendgrid import API_KEY
from testing.vendors.ses import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from testing.vendors.smtp import PASSWORD, SENDER, USER, MailServer
from testing.vendors.twilio import FROM, SID, TOKEN, FakeTwilio
from testing.vendors.web_push import FakeWebPush
from tests.api_tenants import ApiTenant
from tests.cli.terminal import Terminal
from tests.production import KEY_VARIABLES, KEYS, STRONG_SECRET
from tests.providers.harness_chat import ChatBench, chat_url
from tests.providers.harness_fcm import FcmBench
from tests.providers.harness_sendgrid import SendGridBench
from tests.providers.harness_ses import SesBench
from tests.providers.harness_twilio import TwilioBench
from tests.providers.harness_web_push import PRIVATE_KEY, PUBLIC_KEY

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


@pytest.mark.parametrize("name", ["sandbox", "in_app", "webhook", "chat", "web_push"])
async def test_a_provider_without_a_check_reports_that(terminal: Terminal, name: str) -> None:
    assert (await terminal.ok("providers", "check", name)).startswith(f"{name}: there is nothing to ")


async def test_smtp_is_checked_by_a_login(terminal: Terminal) -> None:
    async with MailServer().running() as server:
        given = {"HOST": "localhost", "PORT": str(server.port), "TLS": "none", "USERNAME": USER, "FROM": SENDER}
        await asks_its_vendor(
            terminal, "smtp", {**given, "PASSWORD": PASSWORD}, PASSWORD="other", says=f"accepts the login of {USER}"
        )
        assert server.mails == 0


async def test_sendgrid_is_checked_by_its_key(terminal: Terminal) -> None:
    async with SendGridBench.running() as bench:
        given = {"BASE_URL": bench.vendor.url, "FROM": "shop@example.com", "API_KEY": API_KEY}
        await asks_its_vendor(terminal, "sendgrid", given, API_KEY="SG.other", says="the API key is valid")
        assert bench.vendor.log.requests == []


async def test_ses_is_checked_by_its_account(terminal: Terminal) -> None:
    async with SesBench.running() as bench:
        given = {"BASE_URL": bench.vendor.url, "REGION": "eu-west-1", "FROM": "shop@example.com"}
        given |= {"ACCESS_KEY_ID": ACCESS_KEY_ID, "SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
        await asks_its_vendor(terminal, "ses", given, SECRET_ACCESS_KEY="other", says="the credentials are valid")
        assert bench.vendor.log.requests == []


async def test_twilio_is_checked_by_its_account(terminal: Terminal) -> None:
    async with TwilioBench.running() as bench:
        given = {"BASE_URL": bench.vendor.url, "ACCOUNT_SID": SID, "AUTH_TOKEN": TOKEN, "FROM": FROM}
        await asks_its_vendor(terminal, "twilio", given, AUTH_TOKEN="other", says="the account is active")
        assert bench.vendor.log.requests == []


async def test_fcm_is_checked_by_a_dry_run(terminal: Terminal) -> None:
    async with FcmBench.running() as bench:
        url = bench.vendor.url
        given = {"BASE_URL": url, "TOKEN_URL": f"{url}/token", "CREDENTIALS": bench.account().get_secret_value()}
        other = bench.account("another").get_secret_value()
        await asks_its_vendor(terminal, "fcm", given, CREDENTIALS=other, says="a dry run passed")
        assert bench.vendor.log.requests == []


async def test_web_push_sends_a_test_to_the_subscription_of_a_browser(terminal: Terminal) -> None:
    settings = {"TOCSIN_WEB_PUSH_PRIVATE_KEY": PRIVATE_KEY, "TOCSIN_WEB_PUSH_SUBJECT": "mailto:ops@example.com"}
    send = ("providers", "check", "web_push", "--send-to")
    async with FakeWebPush(PUBLIC_KEY).running() as vendor:
        subscription = json.dumps({**vendor.subscription("good"), "expirationTime": None})
        result = await terminal.tocsin(*send, subscription, **settings)
        assert result.code == 0, result.err
        assert [message["title"] for message in vendor.shown] == ["Tocsin"]
    result = await terminal.tocsin(*send, "https://push.example.com", **settings)
    problem = "--send-to must be the JSON of a browser's subscription: endpoint, keys"
    assert (result.code, result.err) == (1, f"tocsin: {problem}\n")


async def asks_its_vendor(terminal: Terminal, name: str, given: dict[str, str], *, says: str, **wrong: str) -> None:
    """Check with credentials that the vendor accepts, and with others that it rejects."""
    settings = {f"TOCSIN_{name.upper()}_{variable}": value for variable, value in given.items()}
    result = await terminal.tocsin("providers", "check", name, **settings)
    assert result.code == 0, result.err
    assert result.out.startswith(f"{name}: ")
    assert says in result.out
    others = {f"TOCSIN_{name.upper()}_{variable}": value for variable, value in wrong.items()}
    result = await terminal.tocsin("providers", "check", name, **{**settings, **others})
    assert (result.code, result.err) == (1, f"tocsin: {name}: permanent error: credentials_refused\n")


async def test_a_vendor_that_is_not_there_is_a_temporary_error(terminal: Terminal) -> None:
    given = {"ACCOUNT_SID": SID, "AUTH_TOKEN": TOKEN, "FROM": FROM, "BASE_URL": "http://127.0.0.1:1"}
    settings = {f"TOCSIN_TWILIO_{variable}": value for variable, value in given.items()}
    result = await terminal.tocsin("providers", "check", "twilio", **settings)
    assert (result.code, result.err) == (1, "tocsin: twilio: temporary error: connect_failed\n")


async def test_an_unknown_provider_is_an_error_that_names_those_there_are(terminal: Terminal) -> None:
    result = await terminal.tocsin("providers", "check", "pigeon")
    assert result.code == 1
    assert result.err.startswith("tocsin: unknown provider: pigeon; choose from ")


async def test_a_missing_setting_is_named(terminal: Terminal) -> None:
    result = await terminal.tocsin("providers", "check", "sendgrid")
    assert result.code == 1
    assert result.err.startswith("tocsin: sendgrid: TOCSIN_SENDGRID_")
    assert len(result.err.splitlines()) == 1


async def test_a_check_without_a_running_stack_needs_no_secret(terminal: Terminal) -> None:
    (terminal.folder / ".tocsin" / "run.json").unlink()
    here = {"TOCSIN_DATA_DIR": ".tocsin"}
    assert (await terminal.tocsin("providers", "check", "sandbox", **here)).code == 0
    result = await terminal.tocsin("providers", "check", "sandbox", TOCSIN_ENV="production", **KEY_VARIABLES, **here)
    assert (result.code, result.err) == (
        2,
        "tocsin: TOCSIN_SECRET_KEY must be set to a secret of your own outside TOCSIN_ENV=dev; create one with: "
        "openssl rand -base64 32\n",
    )
    private = ("providers", "check", "webhook", "--send-to", "http://127.0.0.1:1/")
    result = await terminal.tocsin(*private, TOCSIN_SECRET_KEY=STRONG_SECRET, **KEY_VARIABLES, **here)
    assert result.err == "tocsin: webhook: temporary error: connect_failed\n"


async def test_a_chat_is_checked_by_one_message_and_its_url_is_not_printed(terminal: Terminal) -> None:
    async with ChatBench.running(ChatService.SLACK) as bench:
        for mode, code, said in (
            (VendorMode.GOOD, 0, "chat: accepted, message id "),
            (VendorMode.REFUSES, 1, "tocsin: chat: the recipient was refused: chat_not_found"),
        ):
            send = ("providers", "check", "chat", "--send-to", chat_url(ChatService.SLACK, mode))
            result = await terminal.tocsin(*send, TOCSIN_CHAT_BASE_URL=bench.vendor.url)
            assert (result.code, (result.out + result.err)[: len(said)]) == (code, said)
            assert "services" not in result.out + result.err
        assert len(bench.vendor.log.requests) == 2


async def test_a_file_that_cannot_be_read_is_one_line(terminal: Terminal) -> None:
    result = await terminal.tocsin("providers", "check", "fcm", TOCSIN_FCM_CREDENTIALS_FILE="nowhere.json")
    assert (result.code, result.err) == (
        1,
        "tocsin: fcm: TOCSIN_FCM_CREDENTIALS_FILE: nowhere.json cannot be read\n",
    )


async def test_a_test_message_names_the_callback_of_the_stack_that_runs(
    terminal: Terminal, api_tenant: ApiTenant
) -> None:
    """The stack may have picked any port."""
    async with FakeTwilio().running() as vendor:
        given = {"BASE_URL": vendor.url, "ACCOUNT_SID": SID, "AUTH_TOKEN": TOKEN, "FROM": FROM}
        settings = {f"TOCSIN_TWILIO_{variable}": value for variable, value in given.items()}
        send = ("providers", "check", "twilio", "--send-to", "+447700900142")
        assert (await terminal.tocsin(*send, TOCSIN_API_PORT="0", **settings)).code == 0
        public = {"TOCSIN_PUBLIC_URL": "https://tunnel.example"}
        assert (await terminal.tocsin(*send, **public, **settings)).code == 0
    result = [request.form["StatusCallback"].partition("?")[0] for request in vendor.log.requests]
    assert result == [f"{url}/api/v1/receipts/twilio" for url in (api_tenant.engine.api_url, "https://tunnel.example")]


async def test_an_unresponsive_vendor_is_an_error_with_a_plain_message(terminal: Terminal) -> None:
    result = await terminal.tocsin(
        *("providers", "check", "sendgrid", "--send-to", "ada@example.com"),
        TOCSIN_SENDGRID_API_KEY="SG.none",
        TOCSIN_SENDGRID_FROM="shop@example.com",
        TOCSIN_SENDGRID_BASE_URL="http://127.0.0.1:1",
    )
    assert result.code == 1
    assert result.err.startswith("tocsin: sendgrid: temporary error: "), result.err


@asynccontextmanager
async def receiver(response: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Yield the address of a webhook, and the headers of the requests it receives. Without an answer it keeps the
    connection open."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(response)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", heads


def here(**more: Any) -> Settings:
    return Settings(_env_file=None, env="production", secret_key=STRONG_SECRET, **KEYS, **more)


def open_port(url: str) -> dict[str, list[int]]:
    return {"webhook_ports": [urlsplit(url).port or 0]}


@pytest.fixture
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_own_environment")
async def test_a_webhook_to_a_private_address_needs_the_setting() -> None:
    async with receiver(b"HTTP/1.1 204 N\r\n\r\n") as (url, heads):
        with pytest.raises(CommandError, match="webhook: temporary error: connect_failed"):
            await check_named_provider(here(**open_port(url)), "webhook", url)
        assert heads == []
        result = await check_named_provider(here(webhook_allow_private=True, **open_port(url)), "webhook", url)
        assert result.startswith("webhook: accepted, message id ")
        assert len(heads) == 1


@pytest.mark.usefixtures("_own_environment")
async def test_a_test_message_without_a_response_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Webhook, "deadline", 0.3)
    async with receiver(b"") as (url, _), asyncio.timeout(60):
        with pytest.raises(CommandError, match="webhook: unknown outcome: timeout"):
            await check_named_provider(here(webhook_allow_private=True, **open_port(url)), "webhook", url)
