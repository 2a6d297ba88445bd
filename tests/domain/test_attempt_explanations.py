"""Test the explanation of attempts: refusals and the next channel, unknown outcomes, errors and devices."""

import pytest

from domain.explaining.histories import NotificationHistory
from tests.domain.ledgers import later
from tests.domain.notification_histories import (
    EMAIL,
    PUSH,
    SMS,
    D,
    N,
    S,
    asked,
    call,
    event,
    explain_lines,
    leg,
    receipt,
    story,
)

REFUSED, FALLBACK = leg(status=D.FAILED), leg(SMS, D.SENT, step=2)
LOST = leg(status=D.SENT)
PHONES = leg(PUSH, D.SENT)
DOUBT = leg(status=D.IN_DOUBT)
PHONE, TABLET = "01a204f5-cd15-76a1-967c-f1c4ecaa4eef", "01a204f5-cd15-76a1-967c-f1c4ecaa0042"

STORIES: dict[str, tuple[NotificationHistory, list[str]]] = {
    "it fell back to another channel": (
        story(
            event("channel_skipped", 2, PUSH, reason="opted_out", detail={"rule": "global_channel_opt_in.push"}),
            REFUSED,
            call(REFUSED, S.NOT_ACCEPTED, 10, "unavailable", error_type="temporary"),
            event("attempt_not_accepted", 11, EMAIL, reason="unavailable", detail=asked()),
            call(REFUSED, S.REFUSED, 12, "invalid_address", number=2),
            event("attempt_refused", 13, EMAIL, reason="invalid_address", detail=asked(2)),
            event("failed", 14, EMAIL, reason="refused", detail={"cause": "invalid_address"}, delivery_status=D.FAILED),
            FALLBACK,
            call(FALLBACK, S.NOT_ACCEPTED, 15, "credentials_refused", provider="twilio", error_type="permanent"),
            call(FALLBACK, S.ACCEPTED, 17, number=2),
            leg(PUSH, D.SKIPPED, step=3),
            status=N.SENT,
            finished_at=later(18),
            route=((EMAIL,), (SMS,), (PUSH,)),
        ),
        [
            "2: push is not used: the recipient has turned it off.",
            "10: email, attempt 1: sandbox was asked to send it.",
            "11: email, attempt 1: sandbox did not take it (unavailable).",
            "12: email, attempt 2: sandbox was asked to send it.",
            "13: email, attempt 2: sandbox refused this recipient (invalid_address).",
            "14: email ended FAILED: the provider refuses this recipient: the address is not valid.",
            "15: sms, attempt 1: twilio was asked to send it.",
            "16: sms, attempt 1: twilio cannot send for us (credentials_refused).",
            "17: sms, attempt 2: sandbox was asked to send it.",
            "18: sms, attempt 2: sandbox accepted it.",
            "18: No step waits any more.",
        ],
    ),
    "a lookup resolves an unknown outcome": (
        story(
            LOST,
            call(LOST, S.ACCEPTED, 10, finished=20),
            event("attempt_unknown", 12, EMAIL, reason="timeout", detail=asked()),
            event("sent", 20, EMAIL, detail=asked(), delivery_status=D.SENT, status=N.SENT),
            status=N.SENT,
            finished_at=later(20),
        ),
        [
            "10: email, attempt 1: sandbox was asked to send it.",
            "12: email, attempt 1: no answer (timeout); sandbox may or may not have it.",
            "20: email, attempt 1: it turned out that sandbox has it.",
            "20: No step waits any more.",
        ],
    ),
    "a lookup proves a message absent and another attempt runs": (
        story(
            leg(),
            call(leg(), S.NOT_ACCEPTED, 10, "proved_absent", finished=20),
            event("attempt_unknown", 12, EMAIL, reason="timeout", detail=asked()),
            event("attempt_not_accepted", 20, EMAIL, reason="proved_absent", detail=asked()),
            call(leg(), S.SUBMITTING, 30, number=2),
        ),
        [
            "10: email, attempt 1: sandbox was asked to send it.",
            "12: email, attempt 1: no answer (timeout); sandbox may or may not have it.",
            "20: email, attempt 1: it turned out that sandbox does not have it (proved_absent).",
            "30: email, attempt 2: sandbox was asked to send it.",
            "Now: email waits for the answer of sandbox, attempt 2.",
        ],
    ),
    "it was in doubt until a receipt": (
        story(
            leg(status=D.OPENED),
            call(leg(), S.UNKNOWN, 10, "timeout"),
            event("attempt_unknown", 11, EMAIL, reason="timeout", detail=asked()),
            event(
                "in_doubt",
                12,
                EMAIL,
                reason="outcome_unknown",
                detail={"cause": "timeout"},
                delivery_status=D.IN_DOUBT,
                status=N.IN_DOUBT,
            ),
            event("opened", 50, EMAIL, detail=receipt("clicked"), delivery_status=D.OPENED, status=N.OPENED),
            status=N.OPENED,
            finished_at=later(12),
        ),
        [
            "10: email, attempt 1: sandbox was asked to send it.",
            "11: email, attempt 1: no answer (timeout); sandbox may or may not have it.",
            "12: email ended IN_DOUBT: it is not known whether it arrived: no answer came in time."
            " With that the notification is IN_DOUBT.",
            "12: No step waits any more.",
            "50: email: sandbox reports that it was opened and a link in it followed."
            " With that the notification is OPENED.",
        ],
    ),
    "an answer was lost without an entry of its own": (
        story(leg(), call(leg(), S.UNKNOWN, 10, "worker_lost"), finished_at=later(12)),
        [
            "10: email, attempt 1: sandbox was asked to send it.",
            "11: email, attempt 1: no answer (worker_lost); sandbox may or may not have it.",
            "12: No step waits any more.",
        ],
    ),
    "an unknown outcome of one generation does not affect the next": (
        story(
            DOUBT,
            call(DOUBT, S.UNKNOWN, 1, "timeout"),
            event("attempt_unknown", 2, EMAIL, reason="timeout", detail=asked()),
            leg(status=D.SENT, generation=2),
            call(leg(generation=2), S.ACCEPTED, 20),
            status=N.SENT,
            generation=2,
            finished_at=later(21),
        ),
        [
            "1: email, attempt 1: sandbox was asked to send it.",
            "2: email, attempt 1: no answer (timeout); sandbox may or may not have it.",
            "20: email, attempt 1: sandbox was asked to send it.",
            "21: email, attempt 1: sandbox accepted it.",
            "21: No step waits any more.",
        ],
    ),
    "of two devices one had it": (
        story(
            PHONES,
            call(PHONES, S.ACCEPTED, 1, endpoint_id=PHONE),
            call(PHONES, S.REFUSED, 3, "unregistered", endpoint_id=TABLET),
            status=N.SENT,
            finished_at=later(5),
            route=((PUSH,),),
        ),
        [
            "1: push, attempt 1 to device aa4eef: sandbox was asked to send it.",
            "2: push, attempt 1 to device aa4eef: sandbox accepted it.",
            "3: push, attempt 1 to device aa0042: sandbox was asked to send it.",
            "4: push, attempt 1 to device aa0042: sandbox refused this recipient (unregistered).",
            "5: No step waits any more.",
        ],
    ),
    "a message was refused, and a server reported errors": (
        story(
            leg(status=D.FAILED),
            call(leg(), S.NOT_ACCEPTED, 1, "server_error", error_type="temporary"),
            call(leg(), S.UNKNOWN, 3, "server_error", number=2),
            call(leg(), S.REFUSED, 5, "too_large", number=3),
            event("failed", 7, EMAIL, reason="refused", detail={"cause": "too_large"}, delivery_status=D.FAILED),
            finished_at=later(7),
        ),
        [
            "1: email, attempt 1: sandbox was asked to send it.",
            "2: email, attempt 1: sandbox answered with a server error, and did not take it.",
            "3: email, attempt 2: sandbox was asked to send it.",
            "4: email, attempt 2: sandbox answered with a server error; it may or may not have it.",
            "5: email, attempt 3: sandbox was asked to send it.",
            "6: email, attempt 3: sandbox refused this message (too_large).",
            "7: email ended FAILED: the provider refuses this message: the message is too large.",
            "7: No step waits any more.",
        ],
    ),
}


@pytest.mark.parametrize(("of", "lines"), STORIES.values(), ids=STORIES)
def test_a_history_is_explained_line_by_line(of: NotificationHistory, lines: list[str]) -> None:
    assert explain_lines(of) == lines
