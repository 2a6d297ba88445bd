"""Test which settings of the connection to Temporal can be combined. No error quotes a secret."""

from typing import Any

import pytest

from config import Settings
from config.sources import InvalidSettings

CANARY = "a-secret"


def read(**more: Any) -> Settings:
    given = {f"temporal_{name}": value for name, value in {"address": "a.example:7233", **more}.items()}
    return Settings.read(env="dev", _env_file=None, **given)


@pytest.mark.parametrize(
    ("given", "uses_tls"),
    [
        ({}, False),
        ({"tls": True}, True),
        ({"tls": False}, False),
        ({"api_key": CANARY}, True),
        ({"tls_ca": "PEM"}, True),
        ({"tls_server_name": "b.example"}, True),
        ({"tls_cert": "PEM", "tls_key": CANARY}, True),
    ],
)
def test_a_key_or_a_certificate_switches_tls_on(given: dict[str, Any], uses_tls: bool) -> None:
    settings = read(**given)
    assert settings.temporal_uses_tls is uses_tls
    assert CANARY not in repr(settings)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"tls_cert": "PEM"}, "TOCSIN_TEMPORAL_TLS_KEY"),
        ({"tls_key": CANARY}, "TOCSIN_TEMPORAL_TLS_CERT"),
        ({"tls": False, "api_key": CANARY}, "TOCSIN_TEMPORAL_TLS=false"),
        ({"tls": False, "tls_ca": "PEM"}, "TOCSIN_TEMPORAL_TLS=false"),
        ({"address": "", "api_key": CANARY}, "TOCSIN_TEMPORAL_ADDRESS"),
    ],
)
def test_settings_that_contradict_each_other_are_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        read(**given)
    [line] = raised.value.lines
    assert named in line
    assert CANARY not in line
