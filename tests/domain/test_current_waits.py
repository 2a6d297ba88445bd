"""Test what a notification waits for, line by line."""

from typing import Any

import pytest

from domain.evidence import Evidence
from domain.explaining.explanations import current_waits
from domain.explaining.histories import NotificationHistory
from domain.reasons import Reason
from tests.domain.ledgers import later
from tests.domain.notification_histories import NOW, SMS, D, S, call, leg, story

NOT_STARTED: dict[str, Any] = {"dispatched_at": None}
WAITS: dict[str, tuple[NotificationHistory, list[str]]] = {
    "nothing that is over": (story(leg(held_at=later(1), awaited_evidence=Evidence.OPENED), finished_at=later(2)), []),
    "its start": (story(**NOT_STARTED), ["Now: it waits to be started."]),
    "its start, at a pace": (
        story(**NOT_STARTED, dispatch_at=later(160)),
        ["Now: it waits to be started; the dispatcher takes it up from 2026-03-01T12:02:40Z on."],
    ),
    "its time": (story(send_at=later(160)), ["Now: it waits for its time, 2026-03-01T12:02:40Z."]),
    "its first call": (story(leg(status=D.PENDING)), ["Now: email waits for the first call to a provider."]),
    "its next call": (
        story(leg(), call(leg(), S.NOT_ACCEPTED, 2), call(leg(), S.UNKNOWN, 5, number=2)),
        ["Now: email waits for what follows attempt 2."],
    ),
    "its next call, at a time": (
        story(leg(waits_until=later(160)), call(leg(), S.NOT_ACCEPTED, 2)),
        ["Now: email waits for attempt 2, until 2026-03-01T12:02:40Z at the latest."],
    ),
    "a circuit that is tried again": (
        story(leg(held_at=later(1), waits_until=later(160))),
        [
            "Now: email is held back since 2026-03-01T12:00:01Z, until nothing holds it any more."
            " It is tried again at 2026-03-01T12:02:40Z."
        ],
    ),
    "an answer": (
        story(leg(), call(leg(), S.SUBMITTING)),
        ["Now: email waits for the answer of sandbox, attempt 1."],
    ),
    "what became of a call": (
        story(leg(awaited_evidence=Evidence.SENT), call(leg(), S.UNKNOWN)),
        ["Now: email waits to learn whether the provider has it."],
    ),
    "an earlier generation's receipt": (
        story(leg(status=D.SENT, awaited_evidence=Evidence.OPENED), leg(status=D.SKIPPED, generation=2), generation=2),
        ["Now: email waits until it is opened, or its time for that is over."],
    ),
    "several things": (
        story(leg(held_at=later(1)), leg(SMS, D.PENDING), cancel_requested_at=later(3)),
        [
            "Now: email is held back since 2026-03-01T12:00:01Z, until nothing holds it any more.",
            "Now: sms waits for the first call to a provider.",
            "Now: it is canceled as soon as what is under way has ended.",
        ],
    ),
    "its digest": (story(dispatched_at=None, collected=True, send_at=later(160)), ["Now: it waits for its digest."]),
    "its digest, whose window has opened": (
        story(dispatched_at=None, collected=True, closes_at=later(160)),
        ["Now: it waits for its digest, until 2026-03-01T12:02:40Z at the latest."],
    ),
    "no digest that is over": (story(collected=True, finished_at=later(2)), []),
    "the end of the quiet hours": (
        story(waits_for=Reason("quiet_hours"), waits_until=later(160)),
        ["Now: it waits, until 2026-03-01T12:02:40Z at the earliest: the recipient has quiet hours."],
    ),
    "its hours": (
        story(waits_for=Reason("send_window"), waits_until=later(160)),
        ["Now: it waits, until 2026-03-01T12:02:40Z at the earliest: the type goes out at other hours."],
    ),
    "room in its type's limit": (
        story(waits_for=Reason("throttled"), waits_until=later(160)),
        ["Now: it waits, until 2026-03-01T12:02:40Z at the earliest: there were as many of this type as it allows."],
    ),
    "room in the person's limit, and it is to be cancelled": (
        story(waits_for=Reason("frequency_capped"), cancel_requested_at=later(3)),
        [
            "Now: it waits: the recipient got as many as the frequency cap allows.",
            "Now: it is canceled as soon as what is under way has ended.",
        ],
    ),
    "nothing that is recorded": (story(), ["Now: its workflow continues; nothing that it waits for is recorded."]),
}


@pytest.mark.parametrize(("of", "texts"), WAITS.values(), ids=WAITS)
def test_an_explanation_names_the_wait_reason(of: NotificationHistory, texts: list[str]) -> None:
    assert current_waits(of, NOW) == texts
