"""Random types and recipients for dry runs. The same seed gives the same ones."""

from dataclasses import dataclass
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

Json = dict[str, Any]

# Whole numbers of two hours, also in the zones: many things happen at the same moments, and few have to be skipped to.
WITHIN = ("2h", "4h")
HOURS: tuple[Json, ...] = (
    {"quiet_hours": {"start": "08:00", "end": "16:00"}},
    {"quiet_hours": {"start": "12:00", "end": "14:00"}},
    {"quiet_hours": {"start": "22:00", "end": "08:00"}},
    {"send_window": {"start": "12:00", "end": "14:00"}},
    {"send_window": {"start": "08:00", "end": "18:00"}, "quiet_hours": {"start": "10:00", "end": "12:00"}},
)
ZONES = ("UTC", "Asia/Shanghai", "Pacific/Honolulu")
DIGESTS: tuple[Json, ...] = (
    {"window": "2h"},
    {"window": "4h", "send_first_immediately": True},
    {"window": "2h", "sliding": True, "max_window": "6h"},
    {"window": "6h", "max_items": 3},
    {"schedule": "0 18 * * *"},
)
FREQUENCY_CAP: Json = {"limit": 3, "per": "8h"}


@dataclass(frozen=True, kw_only=True)
class DryRunExample:
    """A type, its recipient, and a send after `earlier` ones of the same kind. `silent`: no goal is ever reached."""

    kind: Json
    profile: Json
    preferences: Json
    has_device: bool
    silent: bool
    earlier: int
    send: Json
    send_after: float | None

    @property
    def template(self) -> str:
        return "digest" if "digest" in self.kind else "single"


@st.composite
def examples(draw: st.DrawFn) -> DryRunExample:
    silent = draw(st.booleans())
    hours = draw(st.sampled_from([{}, {}, {}, {}, {}, *HOURS]))
    profile = _profile(draw, silent=silent)
    preferences = {"quiet_hours": hours["quiet_hours"]} if "quiet_hours" in hours else {}
    out = draw(st.sets(st.sampled_from(["email", "sms", "push"]), max_size=2))
    return DryRunExample(
        kind=_kind(draw) | {name: rule for name, rule in hours.items() if name == "send_window"},
        profile=profile,
        preferences=preferences | {"global_channel_opt_in": dict.fromkeys(sorted(out), False)},
        has_device=draw(st.booleans()),
        silent=silent,
        # Others that wait for the same hour would compete for what is left of a limit.
        earlier=0 if hours else draw(st.sampled_from([0, 0, 1, 2, 4])),
        send=draw(st.sampled_from([{}, {}, {"expires_in": "3h"}, {"expires_in": "25h"}, {"priority": 1}])),
        send_after=draw(st.sampled_from([None, None, None, 240.0])),
    )


def _profile(draw: st.DrawFn, *, silent: bool) -> Json:
    word, phone = ("silent", "+447700900008") if silent else ("open", "+447700900009")
    found = {"email": f"ada+{word}@example.com", "phone": phone}
    chosen = draw(st.sets(st.sampled_from(sorted(found)), min_size=1))
    return {name: found[name] for name in chosen} | {
        "locale": draw(st.sampled_from(["en", "de-AT", "fr"])),
        "timezone": draw(st.sampled_from(ZONES)),
    }


def _kind(draw: st.DrawFn) -> Json:
    channels = draw(st.permutations(["email", "sms", "push", "in_app"]))
    sizes = draw(st.sampled_from([(1,), (2,), (1, 1), (2, 1), (1, 1, 1), (1, 2, 1)]))
    left, has_always = list(channels), draw(st.booleans())
    route = [_step(draw, [left.pop() for _ in range(size)]) for size in sizes]
    route[-1] = {"channels": route[-1]["channels"]}
    kind: Json = {"route": route, "priority": draw(st.sampled_from([2, 3, 4]))}
    if left and has_always:
        kind["always"] = [left.pop()]
    if draw(st.integers(0, 4)) == 0:
        kind["default"] = "off"
    return kind | _limits(draw)


def _step(draw: st.DrawFn, channels: list[str]) -> Json:
    goal = draw(st.sampled_from([{}, {"until": "delivered"}, {"until": "opened"}, {"until": "opened"}]))
    return {"channels": channels} | (goal | {"within": draw(st.sampled_from(WITHIN))} if goal else {})


def _limits(draw: st.DrawFn) -> Json:
    digest = draw(st.sampled_from([None, None, *DIGESTS]))
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


def drawn(seed: int, count: int) -> list[DryRunExample]:
    """The same ones for the same seed, each drawn by itself: examples of one run are variations of each other."""
    return [_drawn(seed * 1_000 + number) for number in range(count)]


def _drawn(seed: int) -> DryRunExample:
    found: list[DryRunExample] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=6, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck)
    )
    @hypothesis.given(examples())
    def note(example: DryRunExample) -> None:
        found.append(example)

    note()
    return found[-1]  # the first ones are the simplest that there are
