"""Providers as operators see them, and what can be paused."""

from typing import Annotated, Any, Literal

from pydantic import Field

from api.schemas.base import Model, Text, Timestamp
from domain.channels import Channel, DeviceKind
from domain.circuits import CircuitState

EXAMPLE: dict[str, Any] = {
    "name": "sendgrid",
    "channels": ["email"],
    "capabilities": {"lookup": "positive_only", "receipts": True, "device_kinds": []},
    "health": {
        "state": "open",
        "reason": "errors",
        "since": "2026-11-22T09:00:00Z",
        "probe_at": "2026-11-22T09:00:05Z",
    },
    "weights": {"email": 0},
    "rate": 50,
    "paused": False,
}


class Capabilities(Model):
    """`lookup`: what asking the vendor for a lost answer proves; `receipts`: it reports what became of a message."""

    lookup: Literal["definitive", "positive_only", "none"]
    receipts: bool
    device_kinds: list[DeviceKind]


class HealthView(Model):
    """The circuit. `open`: nothing goes there until `probe_at`; `half_open`: a few calls try it."""

    state: CircuitState
    reason: str | None
    since: Timestamp | None
    probe_at: Timestamp | None


class ProviderView(Model):
    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    name: str
    channels: list[Channel]
    capabilities: Capabilities
    health: HealthView
    weights: Annotated[dict[Channel, int], Field(description="Its share of each channel by now, in points of 100.")]
    rate: Annotated[float | None, Field(description="Calls per second over all workers; null is no limit.")]
    paused: bool


class Providers(Model):
    items: list[ProviderView]


class PauseBody(Model):
    reason: Text | None = None


class Pause(Model):
    paused: bool
