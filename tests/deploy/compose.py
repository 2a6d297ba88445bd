"""Read docker-compose.yml. YAML's merge keys are resolved, variables are not."""

import re
from functools import lru_cache
from typing import Any

import yaml

from tests.code.tree import ROOT

COMPOSE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::[-?]([^}]*))?\}")


@lru_cache
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def seconds(duration: str) -> int:
    """Parse `1m` or `45s`."""
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]
