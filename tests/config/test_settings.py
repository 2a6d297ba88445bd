"""Test how environment variables are read as settings."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config import PLACEHOLDERS, ServerSettings, Settings
from config.sources import PREFIX, InvalidSettings
from domain.channels import Channel
from domain.inbound_messages import Keyword
from domain.target_urls import WEB_PORTS
from tests.production import KEY_VARIABLES, STRONG_SECRET


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, key in KEY_VARIABLES.items():
        monkeypatch.setenv(name, key)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_any_usual_postgres_url_gets_the_asyncpg_driver(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("TOCSIN_DATABASE_URL", f"{scheme}://u:p@h/n")
    assert Settings(env="dev").database_url == "postgresql+asyncpg://u:p@h/n"


def test_without_a_database_there_is_no_url() -> None:
    assert Settings(env="dev").database_url == ""


@pytest.mark.parametrize("secret", sorted(PLACEHOLDERS))
def test_a_placeholder_is_no_secret_outside_development(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("TOCSIN_SECRET_KEY", secret)
    with pytest.raises(ValidationError, match="TOCSIN_SECRET_KEY must be set"):
        Settings()
    assert Settings(env="dev").secret


def test_a_secret_of_ones_own_is_taken_outside_development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_SECRET_KEY", STRONG_SECRET)
    assert Settings().secret == STRONG_SECRET.encode()


@pytest.mark.parametrize("name", KEY_VARIABLES)
def test_each_key_is_required_outside_development(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TOCSIN_SECRET_KEY", STRONG_SECRET)
    monkeypatch.delenv(name)
    with pytest.raises(InvalidSettings, match=f"^{name} must be set outside TOCSIN_ENV=dev; see docs/encryption.md$"):
        Settings.read()
    assert Settings(env="dev").encryption_key_ring


def test_a_fixed_api_key_is_refused_outside_development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_SECRET_KEY", STRONG_SECRET)
    monkeypatch.setenv("TOCSIN_DEV_API_KEY", "tk_dev_1")
    with pytest.raises(ValidationError, match="TOCSIN_DEV_API_KEY is for"):
        Settings()


def test_a_secret_is_read_from_the_file_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{STRONG_SECRET}\n")
    monkeypatch.setenv("TOCSIN_SECRET_KEY_FILE", str(file))
    assert Settings().secret == STRONG_SECRET.encode()


def test_the_environment_overrides_a_file_named_in_dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(STRONG_SECRET)
    (tmp_path / ".env").write_text("TOCSIN_SECRET_KEY_FILE=key\n")
    assert Settings().secret == STRONG_SECRET.encode()
    (tmp_path / "other").write_text(STRONG_SECRET[::-1])
    monkeypatch.setenv("TOCSIN_SECRET_KEY_FILE", "other")
    assert Settings().secret == STRONG_SECRET[::-1].encode()


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_an_unreadable_file_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("TOCSIN_SECRET_KEY_FILE", path)
    with pytest.raises(InvalidSettings) as wrong:
        Settings.read()
    assert wrong.value.lines == (f"TOCSIN_SECRET_KEY_FILE: {path} cannot be read",)


def test_each_invalid_setting_has_a_sentence_that_quotes_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_API_PORT", "swordfish")
    monkeypatch.setenv("TOCSIN_EMAIL_PROVIDERS", "smtp=swordfish")
    with pytest.raises(InvalidSettings) as wrong:
        Settings.read(env="dev")
    port, providers = wrong.value.lines
    assert port.startswith("TOCSIN_API_PORT: Input should be a valid integer")
    assert providers.startswith("TOCSIN_EMAIL_PROVIDERS: weights must be whole numbers")
    with pytest.raises(InvalidSettings, match=r"^TOCSIN_SECRET_KEY must be set to a secret of your own"):
        Settings.read(api_port=1, email_providers=[])


def test_a_placeholder_in_a_file_is_refused_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("change-me\n")
    monkeypatch.setenv("TOCSIN_SECRET_KEY_FILE", str(file))
    with pytest.raises(ValidationError, match="TOCSIN_SECRET_KEY must be set"):
        Settings()


def test_the_plain_variable_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from the file")
    monkeypatch.setenv("TOCSIN_SECRET_KEY_FILE", str(file))
    monkeypatch.setenv("TOCSIN_SECRET_KEY", STRONG_SECRET)
    assert Settings().secret == STRONG_SECRET.encode()


def test_an_empty_value_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEY_VARIABLES:
        monkeypatch.delenv(name)
    defaults = Settings(env="dev")
    for name in Settings.model_fields:
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", "")
    assert Settings(env="dev") == defaults


def test_an_empty_environment_variable_is_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_ENV", "")
    monkeypatch.setenv("TOCSIN_SECRET_KEY", STRONG_SECRET)
    assert not Settings().is_dev


def test_more_workers_than_the_connections_suffice_for_are_refused() -> None:
    assert Settings(env="dev", workers=10, database_pool=40).workers == 10
    with pytest.raises(ValidationError, match="TOCSIN_WORKERS=11; set at least 44, 4 for each worker process"):
        Settings(env="dev", workers=11, database_pool=40)


def lines_of(settings_class: type[Settings] = Settings, **given: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as wrong:
        settings_class.read(**given)
    return wrong.value.lines


@pytest.mark.parametrize("secret", ["short", "abcdefghijklmnopqrstuvwxyz-123456789"])
def test_a_weak_secret_is_refused_outside_development(secret: str) -> None:
    [line] = lines_of(secret_key=secret)
    assert line.startswith("TOCSIN_SECRET_KEY ")
    assert line.endswith("openssl rand -base64 32")
    assert secret not in line
    assert Settings(env="dev", secret_key=secret).secret == secret.encode()


def test_all_problems_of_a_server_are_listed_at_once() -> None:
    given: dict[str, Any] = {
        "api_port": "many",
        "dev_api_key": "tk_dev_1",
        "email_providers": "smtp=1,sandbox=2",
        "workers": 11,
    }
    lines = lines_of(sms_providers=["sandbox"], temporal_api_key="key", **given)
    starts = [
        "TOCSIN_API_PORT: ",
        "TLS and an API key need an external server",
        "TOCSIN_SECRET_KEY must be set",
        "TOCSIN_DEV_API_KEY is for",
        "TOCSIN_EMAIL_PROVIDERS, TOCSIN_SMS_PROVIDERS: the sandbox delivers nothing",
        "TOCSIN_DATABASE_POOL=40 is too small",
    ]
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * len(starts)


def test_the_sandbox_needs_a_word_outside_development() -> None:
    given: dict[str, Any] = {"secret_key": STRONG_SECRET, "push_providers": ["sandbox"]}
    [line] = lines_of(**given)
    assert line.startswith("TOCSIN_PUSH_PROVIDERS: ")
    assert Settings(allow_sandbox=True, **given).push_providers == ["sandbox"]
    assert Settings(env="dev").pool(Channel.PUSH) == ["sandbox"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "tocsin.example"])
@pytest.mark.parametrize("secret", ["", "dev-secret-key"])
def test_a_development_server_with_the_built_in_secret_listens_on_loopback_only(host: str, secret: str) -> None:
    [line] = lines_of(ServerSettings, env="dev", api_host=host, secret_key=secret)
    assert line.startswith("TOCSIN_ENV=dev with TOCSIN_API_HOST")
    assert ServerSettings(env="dev", api_host=host, secret_key="another").is_dev
    assert Settings(env="dev", api_host=host, secret_key=secret).is_dev


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "LOCALHOST", "::1"])
def test_a_server_in_development_may_serve_its_own_machine(host: str) -> None:
    assert ServerSettings(env="dev", api_host=host).api_host == host


@pytest.mark.parametrize(
    ("given", "private", "ports"),
    [
        ({"env": "dev"}, True, frozenset()),
        ({"env": "dev", "webhook_allow_private": False, "webhook_ports": "443, 8443"}, False, frozenset({443, 8443})),
        ({"secret_key": STRONG_SECRET}, False, WEB_PORTS),
        ({"secret_key": STRONG_SECRET, "webhook_allow_private": True}, True, WEB_PORTS),
    ],
)
def test_private_webhooks_and_any_port_are_for_development_unless_set(
    given: dict[str, Any], private: bool, ports: frozenset[int]
) -> None:
    assert (Settings(**given).targets.private, Settings(**given).targets.ports) == (private, ports)


@pytest.mark.parametrize(
    ("public_url", "own_host"),
    [("https://Tocsin.example:8443/x", "tocsin.example"), ("http://127.0.0.1:8000", ""), ("", "")],
)
def test_the_public_host_is_no_target_of_webhooks(public_url: str, own_host: str) -> None:
    targets = Settings(env="dev", public_url=public_url, api_port=8001).targets
    assert (targets.own_host, targets.own_port) == (own_host, 8001)


def test_a_keyword_is_answered_unless_its_text_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(Settings(env="dev").sms_answers) == set(Keyword)
    monkeypatch.setenv("TOCSIN_SMS_HELP_REPLY", "Call 5.")
    monkeypatch.setenv("TOCSIN_SMS_START_REPLY", " Off ")
    monkeypatch.setenv("TOCSIN_SMS_STOP_REPLY", "")
    answers = Settings(env="dev").sms_answers
    assert (set(answers), answers[Keyword.HELP]) == ({Keyword.STOP, Keyword.HELP}, "Call 5.")
    assert answers[Keyword.STOP].startswith("You are unsubscribed")
