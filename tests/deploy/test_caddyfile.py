"""Test that the Caddyfile is valid and has the API's limits."""

import os
import re
import shutil
import subprocess

import pytest

from api.limits.client_connections import ConnectionLimits
from tests.code.tree import ROOT

CADDYFILE = ROOT / "deploy/caddy/Caddyfile"
CADDY = shutil.which("caddy")


@pytest.mark.skipif(CADDY is None, reason="there is no caddy on this machine")
def test_the_caddyfile_is_valid() -> None:
    command = (str(CADDY), "validate", "--adapter", "caddyfile", "--config", str(CADDYFILE))
    checked = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "DOMAIN": "tocsin.example"})
    assert checked.returncode == 0, checked.stderr


def test_the_limits_are_those_of_the_api() -> None:
    given = dict(
        re.findall(r"^\t+(max_header_size|read_header|read_body|idle|keepalive) (\d+)", CADDYFILE.read_text(), re.M)
    )
    limits = ConnectionLimits()
    assert int(given["max_header_size"]) * 1024 == limits.header_size
    assert int(given["read_header"]) == limits.header_timeout
    assert int(given["read_body"]) == limits.body_timeout
    assert int(given["idle"]) == limits.idle_timeout > int(given["keepalive"])
