"""Turning values into statement parameters and JSON aggregates back into values."""

import json
from datetime import datetime
from typing import Any

# Follows the rows of a JSON array. Postgres expects 100 of them and would read tables of some thousand rows as a whole;
# with a limit that it does not know it expects 10 and uses the indexes. The limit is the array's length: it keeps all.
FEW_ROWS = "LIMIT (SELECT jsonb_array_length(CAST(:{rows} AS jsonb)))"


def decoded(value: Any) -> Any:
    """Return the value of a JSONB column. A textual statement returns it as text, an ORM statement as a value."""
    return json.loads(value) if isinstance(value, str) else value


def parse_time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None
