"""Define the timing rules of a type, as its spec stores them: digests, throttles and send windows."""

from dataclasses import dataclass
from datetime import timedelta

from domain.cron import Cron, parse_cron
from domain.durations import parse_duration
from domain.json_types import Json
from domain.quiet_hours import SendWindow
from domain.stored_enums import StoredEnum

MAX_ITEMS = 100


class OnExceed(StoredEnum):
    DROP = "drop"
    DEFER = "defer"
    DIGEST = "digest"


class ThrottleScope(StoredEnum):
    """Name whose messages count together."""

    RECIPIENT = "recipient"
    TENANT = "tenant"


@dataclass(frozen=True, kw_only=True, slots=True)
class FrequencyLimit:
    max_count: int
    per: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class ThrottleRule:
    limit: FrequencyLimit
    scope: ThrottleScope = ThrottleScope.RECIPIENT
    on_exceed: OnExceed = OnExceed.DROP


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestRule:
    """Define when a digest closes: a `window` from the first event (`sliding`: from the last one, at most
    `max_window` from the first), or the next time of a `schedule` in the recipient's zone. `key` names the value in
    the payload that separates digests."""

    window: timedelta | None = None
    sliding: bool = False
    max_window: timedelta | None = None
    schedule: Cron | None = None
    key: str | None = None
    max_items: int = MAX_ITEMS
    send_first_immediately: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Hold the rules. `respects_quiet_hours` None: priority and channels decide."""

    respects_quiet_hours: bool | None = None
    send_window: SendWindow | None = None
    throttle: ThrottleRule | None = None
    digest: DigestRule | None = None

    @property
    def collects(self) -> bool:
        """Return whether the digest collects every notification, not only those that exceed the throttle."""
        return self.digest is not None and (self.throttle is None or self.throttle.on_exceed is not OnExceed.DIGEST)


def timing_of(spec: Json) -> Timing:
    window = spec.get("send_window")
    return Timing(
        respects_quiet_hours=spec.get("respects_quiet_hours"),
        send_window=SendWindow.from_json(window) if window else None,
        throttle=_throttle(spec["throttle"]) if spec.get("throttle") else None,
        digest=_digest(spec["digest"]) if spec.get("digest") else None,
    )


def limit_of(spec: Json) -> FrequencyLimit:
    """Parse `{limit, per}` of throttles and caps."""
    return FrequencyLimit(max_count=spec["limit"], per=parse_duration(spec["per"]))


def _throttle(spec: Json) -> ThrottleRule:
    return ThrottleRule(
        limit=limit_of(spec),
        scope=ThrottleScope(spec.get("scope", ThrottleScope.RECIPIENT)),
        on_exceed=OnExceed(spec.get("on_exceed", OnExceed.DROP)),
    )


def _digest(spec: Json) -> DigestRule:
    return DigestRule(
        window=parse_duration(spec["window"]) if spec.get("window") else None,
        sliding=spec.get("sliding", False),
        max_window=parse_duration(spec["max_window"]) if spec.get("max_window") else None,
        schedule=parse_cron(spec["schedule"]) if spec.get("schedule") else None,
        key=spec.get("key"),
        max_items=spec.get("max_items", MAX_ITEMS),
        send_first_immediately=spec.get("send_first_immediately", False),
    )
