"""Compare dry runs with the sends that follow, for random types in skipped time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from domain.json_types import Json
from testing.tocsin import Tocsin
from tests.stories.dry_runs import FREQUENCY_CAP, DryRunExample, draw_examples

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

EXAMPLES = 25
HORIZON = timedelta(days=4)
# A machine may take this long for a decision. The times of the examples differ by more.
TOLERANCE = timedelta(minutes=3)
CHANNELS = ("email", "sms", "push", "in_app")
BODIES = {
    "single": {"en": "Hello {{ name }}", "de": "Hallo {{ name }}"},
    "digest": dict.fromkeys(("en", "de"), "{{ total }}: {% for item in items %}{{ item.name }} {% endfor %}"),
}
Actual = dict[tuple[int, str], Json]


@dataclass(frozen=True)
class ComparedDryRun:
    """Hold an example, its dry run, and its notification. The number is part of the keys of type and recipient."""

    number: int
    example: DryRunExample
    prediction: Json
    id: str


def add_templates(tocsin: Tocsin) -> None:
    for name, bodies in BODIES.items():
        for channel in CHANNELS:
            subject = {"subject_template": "News"} if channel == "email" else {}
            for language, body in bodies.items():
                template = {"name": name, "channel": channel, "language": language, "body_template": body}
                tocsin.call("POST", "/templates", template | subject | {"variables_schema": {}, "publish": True})


def put_example(tocsin: Tocsin, number: int, example: DryRunExample) -> None:
    channels = {channel for step in example.notification_type["route"] for channel in step["channels"]}
    channels |= set(example.notification_type.get("always", ()))
    templates = dict.fromkeys(sorted(channels), example.template)
    tocsin.call("PUT", f"/notification-types/type-{number}", example.notification_type | {"templates": templates})
    tocsin.put_recipient(f"recipient-{number}", **example.profile)
    tocsin.call("PUT", f"/recipients/recipient-{number}/preferences", example.preferences)
    if example.has_device and "push" in channels:
        tocsin.put_device(f"recipient-{number}", "phone", "token-silent" if example.is_silent else "token-open")


def build_body(number: int, name: str) -> Json:
    return {"notification_type": f"type-{number}", "recipient_id": f"recipient-{number}", "payload": {"name": name}}


def build_final_body(tocsin: Tocsin, number: int, example: DryRunExample) -> Json:
    send_at = {} if example.send_after is None else {"send_at": tocsin.time_in(minutes=example.send_after)}
    return build_body(number, "Ada") | example.send | send_at


def send(tocsin: Tocsin, bodies: list[Json]) -> list[str]:
    """Send all at the same moment, so that few moments have to be skipped to."""
    return [item["id"] for item in tocsin.call("POST", "/notifications/send-batch", {"items": bodies})["items"]]


def parse_time(time: str) -> datetime:
    return datetime.fromisoformat(time)


def advance_to_morning(tocsin: Tocsin, minutes: int) -> None:
    """Advance to so many minutes after the next 10:00 in UTC."""
    now = tocsin.now()
    morning = now.astimezone(UTC).replace(hour=10, minute=0, second=0, microsecond=0) + timedelta(minutes=minutes)
    tocsin.advance(seconds=(morning - now).total_seconds() + (0 if morning > now else 86_400))


def predicted_channels(case: ComparedDryRun) -> Iterator[tuple[int, Json, str | None]]:
    """Yield the channels that will be called or skipped, with step and time, given the recipient's behavior."""
    continues, reached = True, False
    for step in case.prediction["steps"]:
        is_always = step["step"] == 0
        continues = continues and (
            is_always or step["start"] == "always" or (step["start"] == "goal_missed" and not reached)
        )
        for channel in step["channels"]:
            # The channels that the rules exclude are recorded with the plan, also those of steps that never run.
            if continues or channel["provider"] is None:
                yield step["step"], channel, step["at"]
        planned = [channel for channel in step["channels"] if channel["provider"] is not None]
        if not is_always and planned:
            reached = step["goal"] is not None and is_reached(case, planned)
            continues = continues and (step["goal"] is not None or planned[0]["reason"] != "expired")


def is_reached(case: ComparedDryRun, channels: list[Json]) -> bool:
    sent = {channel["channel"] for channel in channels if channel["decision"] == "send"}
    return not case.example.is_silent and bool(sent - {"in_app"})


def find_differences(tocsin: Tocsin, case: ComparedDryRun) -> Iterator[str]:
    """Yield the differences between the dry run and the send."""
    notification = tocsin.notification(case.id)
    waits = list_waits(notification)
    prediction = case.prediction
    if notification["status"] == "DIGESTED":
        notification = tocsin.notification(notification["digest"]["notification_id"])
        yield from find_digest_differences(prediction, notification)
        waits += list_waits(notification)
    elif prediction["digest"] and notification["status"] != "EXPIRED":
        yield "was not collected"
    if prediction["status"] is not None:
        if (notification["status"], notification["failure_reason"]) != (prediction["status"], prediction["reason"]):
            yield f"ended {notification['status']}, {notification['failure_reason']}"
        return
    yield from find_call_differences(case, {(one["step"], one["channel"]): one for one in notification["deliveries"]})
    expected = [wait["reason"] for wait in prediction["waits"] if wait["reason"] not in ("send_at", "digest")]
    expected += [wait["reason"] for step in list_predicted_steps(case) for wait in step["waits"]]
    if [wait["reason"] for wait in waits] != expected:
        yield f"waited for {waits}"


def list_predicted_steps(case: ComparedDryRun) -> list[Json]:
    numbers = {number for number, channel, _ in predicted_channels(case) if channel["provider"] is not None}
    return [step for step in case.prediction["steps"] if step["step"] in numbers]


def list_waits(notification: Json) -> list[Json]:
    return [entry for entry in notification["timeline"] if entry["kind"] == "waiting"]


def find_digest_differences(prediction: Json, digest: Json) -> Iterator[str]:
    if (predicted := prediction["digest"]) is None:
        yield "was collected"
    elif (
        not is_near(digest["created_at"], predicted["closes_at"])
        or digest["event_payload"]["total"] != predicted["items"]
    ):
        yield f"its digest of {digest['event_payload']['total']} was created at {digest['created_at']}"


def find_call_differences(case: ComparedDryRun, actual: Actual) -> Iterator[str]:
    expected = {(step, channel["channel"]): (channel, time) for step, channel, time in predicted_channels(case)}
    if actual.keys() != expected.keys():
        yield f"went to {sorted(actual)}"
        return
    for key, (channel, time) in expected.items():
        delivery = actual[key]
        if channel["decision"] == "skip":
            if delivery["sent_at"] is not None or delivery["failure_reason"] != channel["reason"]:
                yield f"{key} was not skipped so: {delivery['failure_reason']}"
            continue
        if delivery["sent_at"] is None or not is_near(delivery["sent_at"], time):
            yield f"{key} was sent at {delivery['sent_at']}"
        names = ("rule", "template_id", "template_version", "language", "rendered_content", "sms", "provider")
        yield from (f"{key} has another {name}" for name in names if delivery[name] != channel[name])


def is_near(actual: str, predicted: str | None) -> bool:
    return predicted is not None and abs(parse_time(actual) - parse_time(predicted)) < TOLERANCE


# Each seed takes 14 to 19 s of CPU. The usual test run checks the first 25 types, `make faults` 200 more.
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 9))])
def test_a_dry_run_predicts_the_send(tocsin: Tocsin, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("testing.clock.MERGE_WINDOW", timedelta(minutes=1))
    add_templates(tocsin)
    tocsin.call("PATCH", "/settings", {"frequency_cap": FREQUENCY_CAP})
    advance_to_morning(tocsin, 0)
    examples = dict(enumerate(draw_examples(seed, EXAMPLES)))
    for number, example in examples.items():
        put_example(tocsin, number, example)
    send(
        tocsin,
        [build_body(number, str(copy)) for number, one in examples.items() for copy in range(one.earlier_sends)],
    )
    advance_to_morning(tocsin, 7)
    bodies = [build_final_body(tocsin, number, example) for number, example in examples.items()]
    predictions = [tocsin.call("POST", "/notifications/send", body | {"dry_run": True}) for body in bodies]
    ids = send(tocsin, bodies)
    cases = [ComparedDryRun(*each) for each in zip(examples.keys(), examples.values(), predictions, ids, strict=True)]
    tocsin.advance(seconds=HORIZON.total_seconds())
    results = {case.number: (list(find_differences(tocsin, case)), case.example, case.prediction) for case in cases}
    failed = [f"{number}: {found}" for number, found in results.items() if found[0]]
    assert not failed, "\n".join(failed)
