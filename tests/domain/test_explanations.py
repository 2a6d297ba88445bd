"""Test the explanation of notifications line by line."""

import pytest

from domain.evidence import Evidence
from domain.explaining.histories import NotificationHistory
from domain.holds import ActivePause, HoldKind
from domain.json_types import Json
from domain.reasons import ChannelReason, Reason, failures_to_json
from domain.sms_segments import SmsEncoding, SmsSegments
from tests.domain.ledgers import later
from tests.domain.notification_histories import EMAIL, PUSH, SMS, D, N, S, call, event, explain_lines, leg, story

RENDERED = {"rule": "type.default", "template": "words", "version": 2, "language": "de"}


def asked(number: int = 1) -> Json:
    return {"provider": "sandbox", "attempt": number}


def receipt(word: str) -> Json:
    return {"provider": "sandbox", "receipt": word}


SENT = leg(status=D.DELIVERED)
REFUSED, FALLBACK = leg(status=D.FAILED), leg(SMS, D.SENT, step=2)
LOST = leg(status=D.SENT)
TEXTED = leg(SMS, D.SENT, sms=SmsSegments(encoding=SmsEncoding.UCS2, segments=2, units=80))
PHONES = leg(PUSH, D.SENT)
NEW = leg(status=D.SKIPPED, generation=2)
DOUBT = leg(status=D.IN_DOUBT)
PHONE, TABLET = "01a204f5-cd15-76a1-967c-f1c4ecaa4eef", "01a204f5-cd15-76a1-967c-f1c4ecaa0042"

SUPPRESSED = (ChannelReason("email", Reason("suppressed", {"list": "complained"})),)

STORIES: dict[str, tuple[NotificationHistory, list[str]]] = {
    "it arrived": (
        story(
            event("accepted", 0, status=N.PENDING),
            event("rendered", 2, EMAIL, detail=RENDERED, delivery_id=SENT.id, delivery_status=D.PENDING),
            SENT,
            call(SENT, S.ACCEPTED),
            event("sent", 11, EMAIL, detail=asked(), delivery_id=SENT.id, delivery_status=D.SENT, status=N.SENT),
            event("delivered", 20, EMAIL, detail=receipt("delivered"), delivery_status=D.DELIVERED, status=N.DELIVERED),
            status=N.DELIVERED,
            finished_at=later(11),
        ),
        [
            "0: Accepted as order.shipped (version 3 of the type), priority 3.",
            "2: email is used: the type is on by default. Rendered from words, version 2, in de.",
            "10: email, attempt 1: sandbox was asked to send it.",
            "11: email, attempt 1: sandbox accepted it.",
            "11: No step waits any more.",
            "20: email: sandbox reports that it was delivered. With that the notification is DELIVERED.",
        ],
    ),
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
    "it is an SMS of two segments": (
        story(
            event("rendered", 2, SMS, detail=RENDERED, delivery_id=TEXTED.id, delivery_status=D.PENDING),
            SENT,
            TEXTED,
            status=N.SENT,
            finished_at=later(3),
            route=((EMAIL, SMS),),
        ),
        [
            "2: sms is used: the type is on by default. Rendered from words, version 2, in de: 2 segments in ucs2.",
            "3: No step waits any more.",
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
    "it is rerouted around an open circuit and held by a pause": (
        story(
            event("rerouted", 5, EMAIL, reason="circuit_open", detail={"provider": "smtp"}),
            event("held", 6, EMAIL, reason="paused", detail={"kind": "provider", "name": "sandbox"}),
            leg(held_at=later(6)),
        ),
        [
            "5: email goes to another provider: smtp is down, and its circuit is open.",
            "6: email is held back: the provider sandbox is paused.",
            "Now: email is held back since 2026-03-01T12:00:06Z, until nothing holds it any more.",
        ],
    ),
    "its channel and its provider are paused": (
        story(
            leg(held_at=later(6), held_providers=("sandbox",)),
            pauses=(
                ActivePause(kind=HoldKind.CHANNEL, name="email", since=later(2), by="ops", reason="wrong prices"),
                ActivePause(kind=HoldKind.PROVIDER, name="sandbox", since=later(3)),
                ActivePause(kind=HoldKind.PROVIDER, name="smtp", since=later(3)),
                ActivePause(kind=HoldKind.CHANNEL, name="sms", since=later(3)),
            ),
        ),
        [
            "Now: email is held back since 2026-03-01T12:00:06Z, until nothing holds it any more (the channel email is"
            " paused since 2026-03-01T12:00:02Z by ops: wrong prices; the provider sandbox is paused since"
            " 2026-03-01T12:00:03Z).",
        ],
    ),
    "its first step did not get far enough": (
        story(
            leg(status=D.SENT),
            call(leg(), S.ACCEPTED, 1),
            event("escalated", 60, None, reason="email: not opened in time", detail={"step": 1}),
            leg(SMS, D.SENT, step=2, awaited_evidence=Evidence.DELIVERED),
            status=N.SENT,
            route=((EMAIL,), (SMS,), (PUSH,)),
        ),
        [
            "1: email, attempt 1: sandbox was asked to send it.",
            "2: email, attempt 1: sandbox accepted it.",
            "60: Step 1 did not get far enough (email: not opened in time): the next one runs.",
            "push (step 3): its turn has not come.",
            "Now: sms waits until it is delivered, or its time for that is over.",
        ],
    ),
    "a bounce put the address on the list": (
        story(
            event(
                "failed",
                9,
                EMAIL,
                detail=receipt("bounced"),
                delivery_status=D.FAILED,
                status=N.FAILED,
                reason="bounced",
            ),
            event(
                "suppressed_address",
                9,
                EMAIL,
                reason="bounced",
                detail={"provider": "sandbox", "vendor_reason": "unknown_number"},
            ),
            leg(status=D.FAILED),
            status=N.FAILED,
            finished_at=later(3),
        ),
        [
            "3: No step waits any more.",
            "9: email: sandbox reports that it was not delivered. With that the notification is FAILED.",
            "9: The address of email is suppressed from now on: a message to it bounced (sandbox says so).",
            "9: Its run in Temporal had ended before and does not show this; GET /failures does.",
        ],
    ),
    "the recipient opted out of all channels": (
        story(
            event("channel_skipped", 2, EMAIL, reason="suppressed", detail={"list": "complained"}),
            event("suppressed", 3, None, detail={"failures": failures_to_json(SUPPRESSED)}, status=N.SUPPRESSED),
            leg(status=D.SKIPPED),
            status=N.SUPPRESSED,
            finished_at=later(3),
        ),
        [
            "2: email is not used: its address is on the suppression list (the recipient complained).",
            "3: The notification ended SUPPRESSED: email: its address is on the suppression list"
            " (the recipient complained).",
            "3: No step waits any more.",
        ],
    ),
    "it was cancelled before its time": (
        story(
            event("accepted", 0, status=N.PENDING),
            event("canceled", 5, None, reason="canceled", status=N.CANCELED),
            status=N.CANCELED,
            send_at=later(600),
            expires_at=later(900),
            only=(EMAIL,),
            route=((EMAIL,), (SMS,)),
            always=(PUSH,),
            cancel_requested_at=later(5),
            finished_at=later(5),
        ),
        [
            "0: Accepted as order.shipped (version 3 of the type), priority 3, for email alone, as the caller asked,"
            " to be sent at 2026-03-01T12:10:00Z, expires at 2026-03-01T12:15:00Z.",
            "5: A cancel was asked for.",
            "5: The notification ended CANCELED: it was canceled.",
            "5: No step waits any more.",
            "push (outside the steps) is not used: the caller did not ask for it.",
            "email (step 1): its turn never came.",
            "sms (step 2) is not used: the caller did not ask for it.",
        ],
    ),
    "it was redriven, and the first one had arrived after all": (
        story(
            DOUBT,
            call(DOUBT, S.UNKNOWN, 1, "timeout"),
            event("attempt_unknown", 2, EMAIL, reason="timeout", detail=asked()),
            event("redriven", 10, None, detail={"generation": 2, "key": "K", "forced": True}, status=N.PENDING),
            NEW,
            event("delivered", 20, EMAIL, detail=receipt("delivered"), delivery_status=D.DELIVERED, status=N.DELIVERED),
            event("skipped", 21, EMAIL, reason="already_sent", detail={"generation": 1}, delivery_status=D.SKIPPED),
            status=N.DELIVERED,
            generation=2,
            finished_at=later(21),
        ),
        [
            "1: email, attempt 1: sandbox was asked to send it.",
            "2: email, attempt 1: no answer (timeout); sandbox may or may not have it.",
            "10: Redriven as generation 2 with the API key K, by force: it may have arrived before.",
            "20: email: sandbox reports that it was delivered. With that the notification is DELIVERED.",
            "21: email ended SKIPPED: generation 1 turned out to have sent it.",
            "21: No step waits any more.",
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
    "its type is off by default": (
        story(
            event("channel_skipped", 2, EMAIL, reason="not_opted_in", detail={"rule": "type.default"}),
            leg(status=D.SKIPPED),
            finished_at=later(3),
        ),
        [
            "2: email is not used: the type is off by default, and the recipient has not opted in.",
            "3: No step waits any more.",
        ],
    ),
    "the key of a device's token is lost": (
        story(
            event("device_skipped", 4, PUSH, reason="not_decrypted", detail={"device": "01a2-0b1c2d3e"}),
            leg(PUSH, D.SENT),
            route=((PUSH,),),
            finished_at=later(9),
        ),
        [
            "4: push does not go to device 1c2d3e: the key that its address is encrypted by is missing.",
            "9: No step waits any more.",
        ],
    ),
    "an event has an unknown kind": (
        story(event("quieted", 4, SMS, reason="night"), event("noted", 5), leg(), finished_at=later(9)),
        ["4: quieted sms night.", "5: noted.", "9: No step waits any more."],
    ),
}


@pytest.mark.parametrize(("of", "lines"), STORIES.values(), ids=STORIES)
def test_a_history_is_explained_line_by_line(of: NotificationHistory, lines: list[str]) -> None:
    assert explain_lines(of) == lines
