"""Test the explanation of notifications line by line."""

import pytest

from domain.evidence import Evidence
from domain.explaining.histories import NotificationHistory
from domain.holds import ActivePause, HoldKind
from domain.reasons import ChannelReason, Reason, failures_to_json
from domain.sms_segments import SmsEncoding, SmsSegments
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

RENDERED = {"rule": "type.default", "template": "words", "version": 2, "language": "de"}

SENT = leg(status=D.DELIVERED)
TEXTED = leg(SMS, D.SENT, sms=SmsSegments(encoding=SmsEncoding.UCS2, segments=2, units=80))
NEW = leg(status=D.SKIPPED, generation=2)
DOUBT = leg(status=D.IN_DOUBT)

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
