"""Models of dead letters, grouped by reason."""

from api.schemas.base import Id, Model, Timestamp
from domain.failure_reasons import ReasonCategory
from domain.json_types import Json

EXAMPLE: Json = {
    "notification_type": "order.shipped",
    "status": "FAILED",
    "channel": "email",
    "reason": "retries_exhausted: timeout",
    "category": "unreachable",
    "count": 41,
    "oldest": "2026-11-22T16:04:12.118204Z",
    "newest": "2026-11-22T19:19:50.741990Z",
    "age": "3h",
    "sample_ids": ["01a204b3-517b-775f-a945-f7baadeb5e0b"],
}


class FailureGroup(Model):
    """Notifications with the same type, channel and reason. `channel` is null if several channels failed; `reason` then
    names them. `category` is that of the first channel that has one. `oldest` and `newest` are times of acceptance,
    `age` is that of the oldest. `sample_ids` are up to five ids, newest first."""

    notification_type: str
    status: str
    channel: str | None
    reason: str
    category: ReasonCategory | None
    count: int
    oldest: Timestamp
    newest: Timestamp
    age: str
    sample_ids: list[Id]
