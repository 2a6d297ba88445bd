"""A dry run of a send tells what the send then does: random types, in simulated time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from testing.tocsin import Tocsin
from tests.stories.dry_runs import FREQUENCY_CAP, DryRunExample, Json, drawn

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.xdist_group("tocsin")]

EXAMPLES = 25
HORIZON = timedelta(days=4)
# What the machine may take for a decision; the times of the scenarios differ by more.
SLOWNESS = timedelta(minutes=3)
CHANNELS = ("email", "sms", "push", "in_app")
BODIES = {
    "single": {"en": "Hello {{ name }}", "de": "Hallo {{ name }}"},
    "digest": dict.fromkeys(("en", "de"), "{{ total }}: {% for item in items %}{{ item.name }} {% endfor %}"),
}
Actual = dict[tuple[int, str], Json]


@dataclass(frozen=True)
class ComparedDryRun:
    """A scenario with its number, which names its type and recipient, what was foretold, and the notification."""

    number: int
    example: DryRunExample
    forecast: Json
    id: str


def add_templates(tocsin: Tocsin) -> None:
    for name, bodies in BODIES.items():
        for channel in CHANNELS:
            subject = {"subject_template": "News"} if channel == "email" else {}
            for language, body in bodies.items():
                place = {"name": name, "channel": channel, "language": language, "body_template": body}
                tocsin.call("POST", "/templates", place | subject | {"variables_schema": {}, "publish": True})


def add_case(tocsin: Tocsin, number: int, example: DryRunExample) -> None:
    channels = {channel for step in example.kind["route"] for channel in step["channels"]}
    channels |= set(example.kind.get("always", ()))
    templates = dict.fromkeys(sorted(channels), example.template)
    tocsin.call("PUT", f"/notification-types/type-{number}", example.kind | {"templates": templates})
    tocsin.put_recipient(f"person-{number}", **example.profile)
    tocsin.call("PUT", f"/recipients/person-{number}/preferences", example.preferences)
    if example.has_device and "push" in channels:
        tocsin.put_device(f"person-{number}", "phone", "token-silent" if example.silent else "token-open")


def body_of(number: int, name: str) -> Json:
    return {"notification_type": f"type-{number}", "recipient_id": f"person-{number}", "payload": {"name": name}}


def later_body(tocsin: Tocsin, number: int, example: DryRunExample) -> Json:
    later = {} if example.send_after is None else {"send_at": tocsin.time_in(minutes=example.send_after)}
    return body_of(number, "Ada") | example.send | later


def send(tocsin: Tocsin, bodies: list[Json]) -> list[str]:
    """All at the same moment, so that few moments have to be skipped to."""
    return [item["id"] for item in tocsin.call("POST", "/notifications/send-batch", {"items": bodies})["items"]]


def at(time: str) -> datetime:
    return datetime.fromisoformat(time)


def advance_to_morning(tocsin: Tocsin, minutes: int) -> None:
    """To so many minutes after the next 10:00 in UTC."""
    now = tocsin.now()
    morning = now.astimezone(UTC).replace(hour=10, minute=0, second=0, microsecond=0) + timedelta(minutes=minutes)
    tocsin.advance(seconds=(morning - now).total_seconds() + (0 if morning > now else 86_400))


def predicted_channels(case: ComparedDryRun) -> Iterator[tuple[int, Json, str | None]]:
    """Channels that are to be called or skipped, each with its step and time, for what is known of its recipient."""
    goes_on, reached = True, False
    for step in case.forecast["steps"]:
        is_beside = step["step"] == 0
        goes_on = goes_on and (
            is_beside or step["start"] == "always" or (step["start"] == "goal_missed" and not reached)
        )
        for channel in step["channels"]:
            # The channels that the rules exclude are recorded with the plan, also those of steps that never run.
            if goes_on or channel["provider"] is None:
                yield step["step"], channel, step["at"]
        planned = [channel for channel in step["channels"] if channel["provider"] is not None]
        if not is_beside and planned:
            reached = step["goal"] is not None and is_reached(case, planned)
            goes_on = goes_on and (step["goal"] is not None or planned[0]["reason"] != "expired")


def is_reached(case: ComparedDryRun, channels: list[Json]) -> bool:
    sent = {channel["channel"] for channel in channels if channel["decision"] == "send"}
    return not case.example.silent and bool(sent - {"in_app"})


def faults(tocsin: Tocsin, case: ComparedDryRun) -> Iterator[str]:
    """In what the dry run was wrong."""
    shown = tocsin.notification(case.id)
    waited = waits_of(shown)
    forecast = case.forecast
    if shown["digest"] and shown["digest"]["notification_id"]:
        shown = tocsin.notification(shown["digest"]["notification_id"])
        yield from digest_faults(forecast, shown)
        waited += waits_of(shown)
    elif forecast["digest"] and shown["status"] != "EXPIRED":
        yield "it was not collected"
    if forecast["status"] is not None:
        if (shown["status"], shown["failure_reason"]) != (forecast["status"], forecast["reason"]):
            yield f"ended {shown['status']}, {shown['failure_reason']}"
        return
    yield from call_faults(case, {(one["step"], one["channel"]): one for one in shown["deliveries"]})
    expected = [wait["reason"] for wait in forecast["waits"] if wait["reason"] not in ("send_at", "digest")]
    expected += [wait["reason"] for step in actual_outcome(case) for wait in step["waits"]]
    if [wait["reason"] for wait in waited] != expected:
        yield f"waited for {waited}"


def actual_outcome(case: ComparedDryRun) -> list[Json]:
    numbers = {number for number, channel, _ in predicted_channels(case) if channel["provider"] is not None}
    return [step for step in case.forecast["steps"] if step["step"] in numbers]


def waits_of(shown: Json) -> list[Json]:
    return [entry for entry in shown["timeline"] if entry["kind"] == "waiting"]


def digest_faults(forecast: Json, made: Json) -> Iterator[str]:
    if (predicted := forecast["digest"]) is None:
        yield "it was collected"
    elif (
        not is_near(made["created_at"], predicted["closes_at"]) or made["event_payload"]["total"] != predicted["items"]
    ):
        yield f"its digest of {made['event_payload']['total']} was made at {made['created_at']}"


def call_faults(case: ComparedDryRun, actual: Actual) -> Iterator[str]:
    expected = {(step, channel["channel"]): (channel, time) for step, channel, time in predicted_channels(case)}
    if actual.keys() != expected.keys():
        yield f"went to {sorted(actual)}"
        return
    for place, (channel, time) in expected.items():
        delivery = actual[place]
        if channel["decision"] == "skip":
            if delivery["sent_at"] is not None or delivery["failure_reason"] != channel["reason"]:
                yield f"{place} was not skipped so: {delivery['failure_reason']}"
            continue
        if delivery["sent_at"] is None or not is_near(delivery["sent_at"], time):
            yield f"{place} was sent at {delivery['sent_at']}"
        names = ("rule", "template_id", "template_version", "language", "rendered_content", "provider")
        yield from (f"{place} has another {name}" for name in names if delivery[name] != channel[name])


def is_near(actual: str, predicted: str | None) -> bool:
    return predicted is not None and abs(at(actual) - at(predicted)) < SLOWNESS


@pytest.mark.long  # it skips to some hundred moments
@pytest.mark.parametrize("seed", range(8))
def test_a_dry_run_predicts_the_send(tocsin: Tocsin, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("testing.clock.MERGE_WINDOW", timedelta(minutes=1))
    add_templates(tocsin)
    tocsin.call("PATCH", "/settings", {"frequency_cap": FREQUENCY_CAP})
    advance_to_morning(tocsin, 0)
    scenarios = dict(enumerate(drawn(seed, EXAMPLES)))
    for number, example in scenarios.items():
        add_case(tocsin, number, example)
    send(tocsin, [body_of(number, str(count)) for number, one in scenarios.items() for count in range(one.earlier)])
    advance_to_morning(tocsin, 7)
    bodies = [later_body(tocsin, number, example) for number, example in scenarios.items()]
    forecasts = [tocsin.call("POST", "/notifications/send", body | {"dry_run": True}) for body in bodies]
    ids = send(tocsin, bodies)
    cases = [ComparedDryRun(*each) for each in zip(scenarios.keys(), scenarios.values(), forecasts, ids, strict=True)]
    tocsin.advance(seconds=HORIZON.total_seconds())
    wrong = {case.number: (list(faults(tocsin, case)), case.example, case.forecast) for case in cases}
    failed = [f"{number}: {found}" for number, found in wrong.items() if found[0]]
    assert not failed, "\n".join(failed)
