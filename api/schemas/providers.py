"""Models of providers for operators."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from api.schemas.base import Model, Timestamp
from domain.channels import Channel, DeviceKind
from domain.circuits import CircuitState
from domain.rates import UNLIMITED_RATE

# Without null values, because FastAPI removes them from the examples of a schema.
EXAMPLE: dict[str, Any] = {
    "name": "resend",
    "channels": ["email"],
    "capabilities": {"lookup": "none", "idempotency_window": "1d", "receipts": True, "device_kinds": []},
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
# Calls per second: about one in 17 minutes.
MIN_RATE = 0.001


class Capabilities(Model):
    """`lookup`: what a lookup at the provider proves about an unknown outcome; `none` while the provider refuses
    lookups by your account. `idempotency_window`: how long the provider recognizes a repeated call, so that a call with
    an unknown outcome is repeated without a duplicate; null if it does not. `receipts`: the provider reports
    deliveries."""

    lookup: Literal["definitive", "positive_only", "none"]
    idempotency_window: str | None
    receipts: bool
    device_kinds: list[DeviceKind]


class HealthView(Model):
    """The circuit of the provider. `open`: no calls until `probe_at`. `half_open`: a few calls probe it. In any state
    there are no calls until `throttled_until`, because the provider was rate-limiting (429)."""

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
    weights: Annotated[dict[Channel, int], Field(description="Current share of each channel, in percent.")]
    rate: Annotated[float | None, Field(description="Calls per second over all workers; null is no limit.")]
    tenant_rate: Annotated[float | None, Field(description="Calls per second of each tenant; null is no limit.")]
    paused: bool


class ProviderList(Model):
    items: list[ProviderView]


def _check_rate(value: float) -> float:
    if 0 < value < MIN_RATE:
        raise ValueError(f"must be 0 (no limit) or at least {MIN_RATE}")
    return value


Rate = Annotated[float, Field(ge=0, le=UNLIMITED_RATE), AfterValidator(_check_rate)]


class ProviderChanges(Model):
    """Applies to all tenants. Absent members stay."""

    rate: Annotated[
        Rate | None,
        Field(description="Calls per second over all workers; 0 is no limit, null is the value of the settings."),
    ] = None
    tenant_rate: Annotated[
        Rate | None, Field(description="Calls per second of each tenant; 0 or null is no limit.")
    ] = None
