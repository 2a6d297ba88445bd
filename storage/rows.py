"""Turning values into statement parameters and JSON aggregates back into values."""

import json
from datetime import datetime
from typing import Any

Json = dict[str, Any]


def decoded(value: Any) -> Any:
    """A JSONB column of a textual statement arrives as text; of an ORM statement as a value."""
    return json.loads(value) if isinstance(value, str) else value


def time_of(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None
