"""Turning values into statement parameters and JSON aggregates back into values."""

import json
from datetime import datetime
from typing import Any


def decoded(value: Any) -> Any:
    """Return the value of a JSONB column. A textual statement returns it as text, an ORM statement as a value."""
    return json.loads(value) if isinstance(value, str) else value


def parse_time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None
