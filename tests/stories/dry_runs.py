"""Draw random types and recipients for dry runs. A seed always gives the same examples."""

from dataclasses import dataclass, replace

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from domain.json_types import Json

# All times are multiples of two hours, also in the zones, so that few moments have to be skipped to.
GOAL_WAITS = ("2h", "4h")
TIME_GATES: tuple[Json, ...] = (
    {"quiet_hours": {"start": "08:00", "end": "16:00"}},
    {"quiet_hours": {"start": "12:00", "end": "14:00"}},
    {"quiet_hours": {"start": "22:00", "end": "08:00"}},
    {"send_window": {"start": "12:00", "end": "14:00"}},
    {"send_window": {"start": "08:00", "end": "18:00"}, "quiet_hours": {"start": "10:00", "end": "12:00"}},
)
ZONES = ("UTC", "Asia/Shanghai", "Pacific/Honolulu")
DIGEST_RULES: tuple[Json, ...] = (
    {"window": "2h"},
    {"window": "4h", "send_first_immediately": True},
    {"window": "2h", "sliding": True, "max_window": "6h"},
    {"window": "6h", "max_items": 3},
    {"schedule": "0 18 * * *"},
)
FREQUENCY_CAP: Json = {"limit": 3, "per": "8h"}


@dataclass(frozen=True, kw_only=True)
class DryRunExample:
    """Hold a type, its recipient, and a send after `earlier_sends` of the type. `is_silent`: no goal is reached."""

    notification_type: Json
    profile: Json
    preferences: Json
    has_device: bool
    is_silent: bool
    earlier_sends: int
    send: Json
    send_after: float | None

    @property
    def template(self) -> str:
        return "digest" if "digest" in self.notification_type else "single"


@st.composite
def examples(draw: st.DrawFn) -> DryRunExample:
    is_silent = draw(st.booleans())
    gate = draw(st.sampled_from([{}, {}, {}, {}, {}, *TIME_GATES]))
    profile = _draw_profile(draw, is_silent=is_silent)
    preferences = {"quiet_hours": gate["quiet_hours"]} if "quiet_hours" in gate else {}
    opt_outs = draw(st.sets(st.sampled_from(["email", "sms", "push"]), max_size=2))
    example = DryRunExample(
        notification_type=_draw_type(draw) | {name: rule for name, rule in gate.items() if name == "send_window"},
        profile=profile,
        preferences=preferences | {"global_channel_opt_in": dict.fromkeys(sorted(opt_outs), False)},
        has_device=draw(st.booleans()),
        is_silent=is_silent,
        # Sends that wait for the same time gate would compete for the slots of a limit.
        earlier_sends=0 if gate else draw(st.sampled_from([0, 0, 1, 2, 4])),
        send=draw(st.sampled_from([{}, {}, {"expires_in": "3h"}, {"expires_in": "25h"}, {"priority": 1}])),
        send_after=draw(st.sampled_from([None, None, None, 240.0])),
    )
    # The digest of earlier sends would be sent before, and compete for the slots of a limit too.
    has_earlier_digest = example.template == "digest" and example.send_after is not None
    return replace(example, earlier_sends=0) if has_earlier_digest else example


def _draw_profile(draw: st.DrawFn, *, is_silent: bool) -> Json:
    behavior, phone = ("silent", "+447700900008") if is_silent else ("open", "+447700900009")
    contact_points = {"email": f"ada+{behavior}@example.com", "phone": phone}
    chosen = draw(st.sets(st.sampled_from(sorted(contact_points)), min_size=1))
    return {name: contact_points[name] for name in chosen} | {
        "locale": draw(st.sampled_from(["en", "de-AT", "fr"])),
        "timezone": draw(st.sampled_from(ZONES)),
    }


def _draw_type(draw: st.DrawFn) -> Json:
    channels = draw(st.permutations(["email", "sms", "push", "in_app"]))
    sizes = draw(st.sampled_from([(1,), (2,), (1, 1), (2, 1), (1, 1, 1), (1, 2, 1)]))
    unused_channels, has_always = list(channels), draw(st.booleans())
    route = [_draw_step(draw, [unused_channels.pop() for _ in range(size)]) for size in sizes]
    route[-1] = {"channels": route[-1]["channels"]}
    notification_type: Json = {"route": route, "priority": draw(st.sampled_from([2, 3, 4]))}
    if unused_channels and has_always:
        notification_type["always"] = [unused_channels.pop()]
    if draw(st.integers(0, 4)) == 0:
        notification_type["default"] = "off"
    return notification_type | _draw_limits(draw)


def _draw_step(draw: st.DrawFn, channels: list[str]) -> Json:
    goal = draw(st.sampled_from([{}, {"until": "delivered"}, {"until": "opened"}, {"until": "opened"}]))
    return {"channels": channels} | (goal | {"within": draw(st.sampled_from(GOAL_WAITS))} if goal else {})


def _draw_limits(draw: st.DrawFn) -> Json:
    digest = draw(st.sampled_from([None, None, *DIGEST_RULES]))
    exceeds = ["drop", "defer", "defer"] + (["digest"] if digest else [])
    throttle = {
        "limit": draw(st.integers(1, 3)),
        "per": draw(st.sampled_from(["2h", "6h"])),
        "scope": draw(st.sampled_from(["recipient", "tenant"])),
        "on_exceed": draw(st.sampled_from(exceeds)),
    }
    return {
        **({"digest": digest} if digest else {}),
        **({"throttle": throttle} if draw(st.booleans()) else {}),
        **({"expires_in": "20h"} if draw(st.integers(0, 5)) == 0 else {}),
    }


def draw_examples(seed: int, count: int) -> list[DryRunExample]:
    """Draw examples, each in a run of its own: hypothesis makes the examples of one run similar to each other."""
    return [_draw_example(seed * 1_000 + number) for number in range(count)]


def _draw_example(seed: int) -> DryRunExample:
    drawn: list[DryRunExample] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=6, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck)
    )
    @hypothesis.given(examples())
    def record(example: DryRunExample) -> None:
        drawn.append(example)

    record()
    return drawn[-1]  # hypothesis begins with the simplest examples
