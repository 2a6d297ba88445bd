"""Parked failures, as they are listed."""

from api.schemas.base import Id, Model, Timestamp


class FailureGroup(Model):
    """Notifications that failed alike. `reason` has N for numbers. `channel` is null if several did not get through,
    and then the reason names them. `oldest` and `newest` are when they were accepted, `age` is that of the oldest;
    `sample_ids` are up to five, the newest first."""

    notification_type: str
    status: str
    channel: str | None
    reason: str
    count: int
    oldest: Timestamp
    newest: Timestamp
    age: str
    sample_ids: list[Id]
