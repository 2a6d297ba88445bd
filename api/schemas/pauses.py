"""Models of pauses of a provider, a channel or a type."""

from typing import Annotated, Literal

from pydantic import Field

from api.schemas.base import Model, Text, Timestamp
from domain.json_types import Json

EXAMPLE: Json = {
    "kind": "channel",
    "name": "email",
    "since": "2026-11-22T09:00:00Z",
    "by": "deployment",
    "reason": "wrong prices in a template",
    "waiting": 42,
}


class PauseBody(Model):
    reason: Text | None = None


class PauseState(Model):
    paused: bool


class PauseView(Model):
    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    kind: Literal["channel", "provider", "notification_type"]
    name: Annotated[str, Field(description="Name of the channel or provider, or key of the type.")]
    since: Timestamp
    by: Annotated[str | None, Field(description="Name of the API key that paused it; null if not recorded.")]
    reason: str | None
    waiting: Annotated[
        int,
        Field(
            description=(
                "Number of messages that wait. For all pauses of a tenant together, at most 100,000 are counted."
            )
        ),
    ]
