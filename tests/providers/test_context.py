"""Test the context that bootstrap passes to adapters, and the start error for a missing setting."""

from pathlib import Path
from typing import Any

import pytest

from bootstrap import Container, open_container
from config import Settings
from config.sources import InvalidSettings, ProviderSettings
from providers.apns.adapter import Apns
from providers.http2 import Http2Transport
from testing.vendors.apns import new_key, pem_of

NOWHERE = "postgresql+asyncpg://nouser@127.0.0.1:1/none"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def settings(**more: Any) -> Settings:
    given = {"env": "dev", "database_url": NOWHERE, "temporal_address": "127.0.0.1:1", **more}
    return Settings(_env_file=None, **given)


async def opened(settings: Settings) -> Container:
    async with open_container(settings) as container:
        return container


async def test_a_named_provider_is_built_from_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "mail.example", "FROM": "shop@shop.example"}.items():
        monkeypatch.setenv(f"TOCSIN_SMTP_{name}", value)
    container = await opened(settings(email_providers=["smtp", "sandbox"], webhook_providers=["webhook"]))
    assert set(container.providers) == {"in_app", "sandbox", "smtp", "webhook"}


async def test_apns_is_called_over_http_2(monkeypatch: pytest.MonkeyPatch) -> None:
    key = pem_of(new_key())
    for name, value in {"TEAM_ID": "T", "KEY_ID": "K", "TOPIC": "com.example.shop", "PRIVATE_KEY": key}.items():
        monkeypatch.setenv(f"TOCSIN_APNS_{name}", value)
    apns = (await opened(settings(push_providers=["apns"]))).providers["apns"]
    assert isinstance(apns, Apns)
    assert isinstance(apns._transport, Http2Transport)


async def test_a_missing_setting_is_named_by_its_variable() -> None:
    with pytest.raises(ValueError, match=r"^TOCSIN_SMTP_HOST is missing; TOCSIN_SMTP_FROM is missing$"):
        await opened(settings(email_providers=["smtp"]))


async def test_errors_of_several_providers_are_listed_together() -> None:
    with pytest.raises(InvalidSettings) as wrong:
        await opened(settings(email_providers=["smtp", "pigeon"], sms_providers=["twilio"], push_providers=["fcm"]))
    names = [line.partition(" ")[0].removesuffix(":") for line in wrong.value.lines]
    assert names[0] == "unknown"
    assert {"TOCSIN_SMTP_HOST", "TOCSIN_FCM_CREDENTIALS", "TOCSIN_TWILIO_ACCOUNT_SID"} <= set(names)
    with pytest.raises(InvalidSettings) as misplaced:
        await opened(settings(email_providers=["webhook"], sms_providers=["webhook", "sandbox"]))
    assert misplaced.value.lines == ("webhook cannot deliver on email", "webhook cannot deliver on sms")


async def test_a_wrong_value_is_named_and_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "mail.example", "FROM": "shop@shop.example", "PORT": "swordfish"}.items():
        monkeypatch.setenv(f"TOCSIN_SMTP_{name}", value)
    with pytest.raises(ValueError, match=r"^TOCSIN_SMTP_PORT: ") as caught:
        await opened(settings(email_providers=["smtp"]))
    assert "swordfish" not in str(caught.value)


async def test_an_unused_provider_needs_no_settings() -> None:
    assert "smtp" not in (await opened(settings())).providers


@pytest.mark.parametrize("name", ["smtp", "webhook", "in_app", "twilio"])
def test_every_provider_has_a_rate(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert settings().rate(name) == 0
    monkeypatch.setenv(f"TOCSIN_{name.upper()}_RATE", "2.5")
    assert settings().rate(name) == 2.5


def test_the_rate_of_the_sandbox_is_one_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_SANDBOX_RATE", "3")
    assert settings().rate("sandbox") == 3
    assert settings(sandbox_rate=4).rate("sandbox") == 4


def test_an_invalid_rate_is_an_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_SMTP_RATE", "fast")
    with pytest.raises(ValueError, match="TOCSIN_SMTP_RATE"):
        settings().rate("smtp")


def test_dotenv_and_files_are_read_by_the_providers_prefix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TOCSIN_SMTP_RATE=9\nTOCSIN_SMTP_HOST=\n")
    assert ProviderSettings.of("smtp").rate == 9
    (tmp_path / "rate").write_text("5\n")
    monkeypatch.setenv("TOCSIN_OTHER_RATE_FILE", str(tmp_path / "rate"))
    assert (ProviderSettings.of("other").rate, ProviderSettings.of("another").rate) == (5, 0)
