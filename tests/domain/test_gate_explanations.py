"""Test the explanation of notifications that waited for quiet hours, a limit or a digest."""

import pytest

from domain.explaining.histories import NotificationHistory
from domain.reasons import Reason
from tests.domain.ledgers import later
from tests.domain.notification_histories import PUSH, SMS, D, N, event, explain_lines, leg, story

CLOSES = event("collected", 2, None, detail={"digest_id": "01a1", "closes_at": "2026-03-01T12:15:00Z"})

STORIES: dict[str, tuple[NotificationHistory, list[str]]] = {
    "it waited for quiet hours, then for a slot": (
        story(
            event("waiting", 2, None, reason="quiet_hours", detail={"until": "2026-03-02T06:00:00Z"}),
            event("waiting", 3, None, reason="throttled", detail={"until": "2026-03-02T07:00:00Z"}),
            event("waiting", 4, None, reason="frequency_capped", detail={"until": None}),
            waits_for=Reason("frequency_capped"),
        ),
        [
            "2: It waits until 2026-03-02T06:00:00Z: the recipient has quiet hours.",
            "3: It waits until 2026-03-02T07:00:00Z: there were as many of this type as it allows.",
            "4: It waits: the recipient got as many as the frequency cap allows.",
            "email (step 1): its turn has not come.",
            "Now: it waits: the recipient got as many as the frequency cap allows.",
        ],
    ),
    "a later step came into the quiet hours": (
        story(
            event(
                "escalated", 60, None, reason="goal_missed", detail={"step": 1, "channels": ["push"], "goal": "opened"}
            ),
            event("waiting", 61, None, reason="quiet_hours", detail={"until": "2026-03-02T06:00:00Z"}),
            leg(PUSH, D.SENT),
            leg(SMS, D.PENDING, step=2),
            route=((PUSH,), (SMS,)),
            waits_for=Reason("quiet_hours"),
            waits_until=later(1000),
        ),
        [
            "60: Step 1 did not get far enough (push: not opened in time): the next one runs.",
            "61: It waits until 2026-03-02T06:00:00Z: the recipient has quiet hours.",
            "Now: sms waits for the first call to a provider.",
            "Now: it waits, until 2026-03-01T12:16:40Z at the earliest: the recipient has quiet hours.",
        ],
    ),
    "it is collected": (
        story(CLOSES, dispatched_at=None, collected=True),
        ["2: It is collected into a digest, which closes at 2026-03-01T12:15:00Z.", "Now: it waits for its digest."],
    ),
    "it went into a digest": (
        story(
            CLOSES,
            event("digested", 900, None, detail={"notification_id": "01a2"}, status=N.DIGESTED),
            status=N.DIGESTED,
            finished_at=later(900),
            collected=True,
        ),
        [
            "2: It is collected into a digest, which closes at 2026-03-01T12:15:00Z.",
            "900: It went into the digest 01a2.",
            "900: No step waits any more.",
        ],
    ),
    "it was too late for its digest": (
        story(
            CLOSES,
            event("expired", 900, None, reason="expired", status=N.EXPIRED),
            status=N.EXPIRED,
            finished_at=later(900),
            collected=True,
        ),
        [
            "2: It is collected into a digest, which closes at 2026-03-01T12:15:00Z.",
            "900: The notification ended EXPIRED: its time was over.",
            "900: No step waits any more.",
        ],
    ),
    "there was too much, and it was dropped": (
        story(
            event("suppressed", 2, None, reason="throttled", status=N.SUPPRESSED),
            status=N.SUPPRESSED,
            finished_at=later(2),
        ),
        [
            "2: The notification ended SUPPRESSED: there were as many of this type as it allows.",
            "2: No step waits any more.",
            "email (step 1): its turn never came.",
        ],
    ),
}


@pytest.mark.parametrize(("of", "lines"), STORIES.values(), ids=STORIES)
def test_a_wait_is_explained_line_by_line(of: NotificationHistory, lines: list[str]) -> None:
    assert explain_lines(of) == lines
