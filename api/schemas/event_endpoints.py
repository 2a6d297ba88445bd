"""Models of event endpoints: a tenant's URLs for status events, their messages and replays."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from api.schemas.base import Id, Model, Timestamp
from api.schemas.contact import WebUrl
from domain.event_webhooks import ALL_EVENTS, EVENT_TYPES
from domain.json_types import Json
from storage.event_outbox import EventMessageStatus

EXAMPLE: Json = {
    "url": "https://shop.example.com/hooks/tocsin",
    "events": ["notification.delivered", "notification.failed"],
}
REPLAY_ONE: Json = {"message_id": "3f0c1d52-9a44-4a57-bd0e-8e5f2f6a4c11"}
REPLAY_SINCE: Json = {"since": "2026-03-01T09:00:00Z", "until": "2026-03-01T12:00:00Z"}
EXAMPLE_SIGNING_KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def _check_event_types(events: list[str]) -> list[str]:
    if any(event not in (ALL_EVENTS, *EVENT_TYPES) for event in events):
        raise ValueError(f"must be one of '{ALL_EVENTS}', {', '.join(EVENT_TYPES)}")
    return list(dict.fromkeys(events))


Events = Annotated[list[str], Field(min_length=1, max_length=20), AfterValidator(_check_event_types)]
Secret = Annotated[str, Field(description="`whsec_` and base64. Not shown again.", examples=[EXAMPLE_SIGNING_KEY])]


class EndpointBody(Model):
    """Enabling a disabled endpoint resets its failures."""

    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    url: WebUrl
    events: Annotated[
        Events, Field(description=f"`{ALL_EVENTS}` for all events, or some of {', '.join(EVENT_TYPES)}.")
    ] = [ALL_EVENTS]
    enabled: bool = True


class EndpointView(Model):
    """`disabled_reason` is `by_request`, `failing` (no message was delivered for five days) or `gone` (it responded
    with 410). Until `previous_secret_until`, messages are also signed with the secret before the last rotation. `url`
    is empty if it cannot be decrypted."""

    key: str
    url: str
    events: list[str]
    enabled: bool
    disabled_at: Timestamp | None
    disabled_reason: str | None
    failing_since: Timestamp | None
    previous_secret_until: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class SavedEndpoint(EndpointView):
    """`secret` is present only when the endpoint was created."""

    secret: Secret | None = None


class RotatedSecret(Model):
    secret: Secret
    previous_secret_until: Timestamp


class EventAttemptView(Model):
    """One attempt. `error` is null if the endpoint accepted it, otherwise a code such as `status_500`, `timeout` or
    `connect_failed`."""

    at: Timestamp
    status: int | None
    ms: int
    error: str | None


class EventMessageView(Model):
    """`id` is the `webhook-id`. `attempt_count` counts attempts since the message was created or replayed. `attempts`
    are the last twenty."""

    id: Id
    type: str
    notification_id: Id | None
    status: EventMessageStatus
    occurred_at: Timestamp
    attempt_count: int
    next_attempt_at: Timestamp | None
    delivered_at: Timestamp | None
    replayed_at: Timestamp | None
    last_status: int | None
    last_error: str | None
    attempts: list[EventAttemptView]


class TestEventAccepted(Model):
    message_id: Id


class ReplayBody(Model):
    """One message, or the messages since a time that failed (with `all`: every message), a few per second."""

    model_config = {"json_schema_extra": {"examples": [REPLAY_ONE, REPLAY_SINCE]}}

    message_id: Id | None = None
    since: Timestamp | None = None
    until: Annotated[Timestamp | None, Field(description="Only messages before this time.")] = None
    all: Annotated[bool, Field(description="Also replay delivered messages.")] = False

    @model_validator(mode="after")
    def _one_or_since(self) -> Self:
        if (self.message_id is None) == (self.since is None):
            raise ValueError("needs either message_id or since")
        if self.since is None and (self.until is not None or self.all):
            raise ValueError("until and all need since")
        return self


class ReplayAccepted(Model):
    """At most ten thousand messages per request. If `more` is true, repeat the request with `since` = `through`."""

    replayed: int
    through: Timestamp | None = None
    more: bool = False
