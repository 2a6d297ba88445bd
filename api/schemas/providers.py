"""Providers as operators see them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from api.schemas.base import Model, Timestamp
from domain.channels import Channel, DeviceKind
from domain.circuits import CircuitState
from domain.rates import UNLIMITED_RATE

# FastAPI leaves null out of the examples of a schema.
EXAMPLE: dict[str, Any] = {
    "name": "sendgrid",
    "channels": ["email"],
    "capabilities": {"lookup": "positive_only", "receipts": True, "device_kinds": []},
    "health": {
        "state": "open",
        "reason": "errors",
        "since": "2026-11-22T09:00:00Z",
        "probe_at": "2026-11-22T09:00:05Z",
        "throttled_until": "2026-11-22T09:00:30Z",
    },
    "weights": {"email": 0},
    "rate": 50,
    "tenant_rate": 5,
    "paused": False,
}
# Calls per second: one in a quarter of an hour.
MIN_RATE = 0.001


class Capabilities(Model):
    """`lookup`: what asking the vendor for a lost answer proves, and `none` while it refuses to
    be asked by our account; `receipts`: it reports what became of a message."""

    lookup: Literal["definitive", "positive_only", "none"]
    receipts: bool
    device_kinds: list[DeviceKind]


class HealthView(Model):
    """The circuit. `open`: nothing goes there until `probe_at`; `half_open`: a few calls try it. Whatever it is, until
    `throttled_until` nothing goes there: the vendor has answered "too many"."""

    state: CircuitState
    reason: str | None
    since: Timestamp | None
    probe_at: Timestamp | None
    throttled_until: Timestamp | None


class ProviderView(Model):
    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    name: str
    channels: list[Channel]
    capabilities: Capabilities
    health: HealthView
    weights: Annotated[dict[Channel, int], Field(description="Its share of each channel by now, in points of 100.")]
    rate: Annotated[float | None, Field(description="Calls per second over all workers; null is no limit.")]
    tenant_rate: Annotated[float | None, Field(description="The same for each tenant.")]
    paused: bool


class ProviderList(Model):
    items: list[ProviderView]


def _check_rate(value: float) -> float:
    if 0 < value < MIN_RATE:
        raise ValueError(f"must be 0, which is no limit, or at least {MIN_RATE}")
    return value


Rate = Annotated[float, Field(ge=0, le=UNLIMITED_RATE), AfterValidator(_check_rate)]


class ProviderChanges(Model):
    """For all tenants. What is not given stays."""

    rate: Annotated[
        Rate | None,
        Field(description="Calls per second over all workers; 0 is no limit, null is what the settings say."),
    ] = None
    tenant_rate: Annotated[
        Rate | None, Field(description="Calls per second of each tenant; 0 or null is no limit.")
    ] = None
