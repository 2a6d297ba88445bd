"""Waits of days, skipped: the clocks of Postgres, of this process and of each workflow move ahead together."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from testing.tocsin import Tocsin

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

PHONE = "+447700900123"


def add_type(tocsin: Tocsin, *route: dict[str, Any], **more: Any) -> None:
    """`news`, with a template for each channel of its route."""
    channels = {channel for step in route for channel in step["channels"]}
    for channel in channels:
        subject = {"subject_template": "News"} if channel == "email" else {}
        body = {"name": "news", "channel": channel, "language": "en", "body_template": "Hello", **subject}
        tocsin.call("POST", "/templates", {**body, "variables_schema": {}, "publish": True})
    kind = {"route": route, "templates": dict.fromkeys(channels, "news"), **more}
    tocsin.call("PUT", "/notification-types/news", kind)


def add_alert(tocsin: Tocsin, until: str = "delivered", within: str = "3d", **more: Any) -> None:
    """By e-mail, and by SMS if that does not get as far as it should."""
    add_type(tocsin, {"channels": ["email"], "until": until, "within": within}, {"channels": ["sms"]}, **more)


def add_person(tocsin: Tocsin, email: str = "ada@example.com") -> None:
    tocsin.put_recipient("ada", email=email, phone=PHONE)


def days(shown: dict[str, Any], *kinds: str) -> list[float]:
    """When these things happened, in days after it was accepted."""
    told = [(entry["kind"], datetime.fromisoformat(entry["at"])) for entry in shown["timeline"]]
    return [round((at - told[0][1]) / timedelta(days=1), 3) for kind, at in told if kind in kinds]


def test_a_message_undelivered_for_three_days_falls_back(tocsin: Tocsin) -> None:
    add_alert(tocsin)
    add_person(tocsin, "ada+silent@example.com")
    id = tocsin.send("news", "ada")
    tocsin.advance(days=3, minutes=-1)
    assert tocsin.statuses(id) == {"email": "SENT"}
    tocsin.advance(minutes=1)
    assert tocsin.statuses(id) == {"email": "SENT", "sms": "DELIVERED"}
    shown = tocsin.notification(id)
    assert days(shown, "escalated") == [3]
    assert shown["finished_at"]


def test_a_delivery_on_the_third_day_reaches_the_goal(tocsin: Tocsin) -> None:
    add_alert(tocsin)
    add_person(tocsin, "ada+silent@example.com")
    id = tocsin.send("news", "ada")
    tocsin.advance(days=2, hours=23)
    tocsin.report(id, "delivered")
    assert tocsin.notification(id)["finished_at"]
    tocsin.advance(days=30)
    assert tocsin.statuses(id) == {"email": "DELIVERED"}


def test_a_receipt_after_the_next_step_moves_only_the_status(tocsin: Tocsin) -> None:
    add_alert(tocsin, until="opened")
    add_person(tocsin)
    id = tocsin.send("news", "ada")
    tocsin.advance(days=20)
    assert tocsin.statuses(id) == {"email": "DELIVERED", "sms": "DELIVERED"}
    tocsin.report(id, "opened", "email")
    assert (tocsin.statuses(id)["email"], tocsin.notification(id)["status"]) == ("OPENED", "OPENED")
    assert len(tocsin.outbox()) == 2


def test_steps_that_each_wait_for_days_come_one_after_the_other(tocsin: Tocsin) -> None:
    waits = [{"channels": [channel], "until": "opened", "within": "2d"} for channel in ("email", "sms")]
    add_type(tocsin, *waits, {"channels": ["in_app"]})
    add_person(tocsin)
    id = tocsin.send("news", "ada")
    tocsin.advance(days=7)
    shown = tocsin.notification(id)
    assert days(shown, "escalated") == [2, 4]
    assert [delivery["channel"] for delivery in shown["deliveries"]] == ["email", "sms", "in_app"]


def add_fallback(tocsin: Tocsin, channel: str) -> str:
    """Send by this channel, and by email if it is not opened in three days; the notification's id."""
    add_type(tocsin, {"channels": [channel], "until": "opened", "within": "3d"}, {"channels": ["email"]})
    add_person(tocsin)
    tocsin.put_device("ada", "phone", "token-silent")
    return tocsin.send("news", "ada")


def test_an_inbox_item_that_stays_unread_is_followed_by_an_email(tocsin: Tocsin) -> None:
    id = add_fallback(tocsin, "in_app")
    tocsin.settle()
    [item] = tocsin.call("GET", "/inbox?recipient_id=ada")["items"]
    tocsin.call("POST", f"/inbox/{item['id']}/seen")
    tocsin.advance(days=3, minutes=-1)
    assert tocsin.statuses(id) == {"in_app": "SENT"}
    tocsin.advance(minutes=1)
    assert tocsin.statuses(id) == {"in_app": "SENT", "email": "DELIVERED"}


@pytest.mark.parametrize("path", ["/inbox/{id}/read", "/inbox/read-all?recipient_id=ada"])
def test_an_inbox_item_that_is_read_is_followed_by_no_email(tocsin: Tocsin, path: str) -> None:
    id = add_fallback(tocsin, "in_app")
    tocsin.advance(days=2)
    [item] = tocsin.call("GET", "/inbox?recipient_id=ada")["items"]
    for _ in range(2):
        tocsin.call("POST", path.format(id=item["id"]))
        tocsin.settle()
    shown = tocsin.notification(id)
    assert shown["finished_at"]
    assert days(shown, "opened") == [2]
    tocsin.advance(days=30)
    assert (tocsin.notification(id)["status"], tocsin.statuses(id)) == ("OPENED", {"in_app": "OPENED"})


@pytest.mark.parametrize("event", ["opened", "clicked"])
def test_a_push_that_the_app_reports_is_followed_by_no_email(tocsin: Tocsin, event: str) -> None:
    id = add_fallback(tocsin, "push")
    tocsin.advance(days=2)
    assert tocsin.statuses(id) == {"push": "SENT"}
    for channel in ({}, {"channel": "push"}):
        tocsin.call("POST", f"/notifications/{id}/events", {"event": event, **channel})
        tocsin.settle()
    [push] = tocsin.notification(id)["deliveries"]
    assert push["opened_at"]
    assert (push["clicked_at"] is None) is (event == "opened")
    tocsin.advance(days=30)
    assert tocsin.statuses(id) == {"push": "OPENED"}


def test_a_push_without_an_app_report_is_followed_by_an_email(tocsin: Tocsin) -> None:
    id = add_fallback(tocsin, "push")
    tocsin.advance(days=3)
    assert tocsin.statuses(id) == {"push": "SENT", "email": "DELIVERED"}


def test_a_send_scheduled_in_three_days_waits_from_then(tocsin: Tocsin) -> None:
    add_alert(tocsin, within="1d")
    add_person(tocsin, "ada+silent@example.com")
    send_at = tocsin.time_in(days=3)
    id = tocsin.send("news", "ada", send_at=send_at)
    tocsin.advance(days=3, minutes=-1)
    assert tocsin.notification(id)["status"] == "PENDING"
    assert tocsin.notification(id)["deliveries"] == []
    tocsin.advance(minutes=1)
    [email] = tocsin.notification(id)["deliveries"]
    late = datetime.fromisoformat(email["sent_at"]) - datetime.fromisoformat(send_at)
    assert timedelta() <= late < timedelta(seconds=10)
    tocsin.advance(hours=23)
    assert tocsin.statuses(id) == {"email": "SENT"}
    tocsin.advance(hours=1)
    assert tocsin.statuses(id)["sms"] == "DELIVERED"


def test_a_held_send_expires_while_it_is_held(tocsin: Tocsin) -> None:
    add_type(tocsin, {"channels": ["email"]})
    add_person(tocsin)
    tocsin.call("POST", "/channels/email/pause")
    id = tocsin.send("news", "ada", expires_in="3d")
    tocsin.advance(days=3, minutes=-1)
    assert tocsin.notification(id)["status"] == "PENDING"
    tocsin.advance(minutes=1)
    shown = tocsin.notification(id)
    assert (shown["status"], shown["failure_reason"]) == ("EXPIRED", "email: expired")
    tocsin.call("POST", "/channels/email/resume")
    tocsin.advance(days=1)
    assert tocsin.outbox() == []


def test_a_send_held_for_days_goes_out_when_it_is_resumed(tocsin: Tocsin) -> None:
    """And the hour that a type has before it gives up stands still meanwhile."""
    add_type(tocsin, {"channels": ["email"]}, give_up_after="1h")
    add_person(tocsin)
    tocsin.call("POST", "/channels/email/pause")
    id = tocsin.send("news", "ada")
    tocsin.advance(days=5)
    tocsin.call("POST", "/channels/email/resume")
    tocsin.settle()
    assert tocsin.notification(id)["status"] == "DELIVERED"
    assert days(tocsin.notification(id), "held", "sent") == [0, 5]


def test_a_vendor_that_is_down_is_tried_until_the_type_gives_up(tocsin: Tocsin) -> None:
    add_type(tocsin, {"channels": ["email"]}, give_up_after="2h")
    add_person(tocsin, "ada+error@example.com")
    id = tocsin.send("news", "ada")
    tocsin.advance(minutes=90)
    assert tocsin.notification(id)["status"] == "PENDING"
    tocsin.advance(minutes=30)
    assert tocsin.notification(id)["status"] == "FAILED"
    tried = days(tocsin.notification(id), "attempt_not_accepted")
    assert len(tried) > 15
    assert tried[-1] <= 2 / 24


def test_cancelled_on_the_second_day_the_next_step_stays_out(tocsin: Tocsin) -> None:
    add_alert(tocsin)
    add_person(tocsin, "ada+silent@example.com")
    id = tocsin.send("news", "ada")
    tocsin.advance(days=2)
    assert tocsin.cancel(id)["channels"] == {"email": "already_sent", "sms": "stopped"}
    tocsin.advance(days=2)
    assert tocsin.statuses(id) == {"email": "SENT"}


def test_the_receipt_of_a_lost_response_does_not_come_early(tocsin: Tocsin) -> None:
    add_type(tocsin, {"channels": ["email"]}, delivery_guarantee="at_most_once")
    add_person(tocsin, "ada+lost@example.com")
    id = tocsin.send("news", "ada")
    tocsin.settle()
    assert tocsin.notification(id)["status"] == "IN_DOUBT"
    tocsin.advance(hours=2)
    assert tocsin.notification(id)["status"] == "DELIVERED"


def test_a_suppression_is_over_when_its_days_are(tocsin: Tocsin) -> None:
    add_type(tocsin, {"channels": ["email"]})
    add_person(tocsin)
    listed = {"channel": "email", "address": "ada@example.com", "reason": "manual", "expires_in": "3d"}
    tocsin.call("POST", "/suppressions", listed)
    statuses = []
    for _ in range(2):
        id = tocsin.send("news", "ada")
        tocsin.settle()
        statuses.append(tocsin.notification(id)["status"])
        tocsin.advance(days=3)
    assert statuses == ["SUPPRESSED", "DELIVERED"]


def test_many_sends_with_different_times_all_reach_the_correct_state(tocsin: Tocsin) -> None:
    add_alert(tocsin)
    add_person(tocsin, "ada+silent@example.com")
    ids = [tocsin.send("news", "ada", send_at=tocsin.time_in(days=day)) for day in range(10)]
    tocsin.advance(days=6, minutes=1)
    shown = [tocsin.notification(id) for id in ids]
    assert [len(each["deliveries"]) for each in shown] == [2, 2, 2, 2, 1, 1, 1, 0, 0, 0]
    tocsin.advance(days=30)
    assert [tocsin.statuses(id) for id in ids] == [{"email": "SENT", "sms": "DELIVERED"}] * 10
    assert [days(tocsin.notification(id), "escalated") for id in ids] == [[day + 3] for day in range(10)]


def add_digest(tocsin: Tocsin, digest: dict[str, Any], **more: Any) -> None:
    body = {"name": "news", "channel": "email", "language": "en", "subject_template": "News", "publish": True}
    words = "{{ total }}: {% for item in items %}{{ item.name }} {% endfor %}"
    tocsin.call("POST", "/templates", {**body, "body_template": words, "variables_schema": {}})
    kind = {"route": [{"channels": ["email"]}], "templates": {"email": "news"}, "digest": digest, **more}
    tocsin.call("PUT", "/notification-types/news", kind)


def mails(tocsin: Tocsin, person: str) -> list[str]:
    return [message["content"]["text"].strip() for message in tocsin.outbox(recipient_id=person)]


def test_a_window_of_days_closes_when_it_is_over(tocsin: Tocsin) -> None:
    add_digest(tocsin, {"window": "3d"})
    add_person(tocsin)
    first = tocsin.send("news", "ada", {"name": "one"})
    tocsin.advance(days=2)
    tocsin.send("news", "ada", {"name": "two"})
    tocsin.advance(hours=23)
    assert tocsin.notification(first)["status"] == "PENDING"
    tocsin.advance(hours=1)
    assert tocsin.notification(first)["status"] == "DIGESTED"
    tocsin.send("news", "ada", {"name": "three"})
    tocsin.advance(days=3)
    assert mails(tocsin, "ada") == ["2: one two", "1: three"]


def test_a_digest_of_the_morning_comes_in_each_ones_morning(tocsin: Tocsin) -> None:
    """Closed by the tick of its type: once a day for each, whose day it is there."""
    add_digest(tocsin, {"schedule": "0 9 * * *"})
    zones = {"ada": "Asia/Tokyo", "bob": "Europe/Berlin", "cyd": "America/New_York"}
    for person, zone in zones.items():
        tocsin.put_recipient(person, email=f"{person}@example.com", timezone=zone)
    for day in range(3):
        for person in zones:
            tocsin.send("news", person, {"name": f"day{day}"})
        tocsin.advance(days=1)
    for person, zone in zones.items():
        assert mails(tocsin, person) == ["1: day0", "1: day1", "1: day2"]
        local = [datetime.fromisoformat(one["accepted_at"]).astimezone(ZoneInfo(zone)) for one in sent(tocsin, person)]
        assert {f"{at:%H:%M}" for at in local} == {"09:00"}


def sent(tocsin: Tocsin, person: str) -> list[dict[str, Any]]:
    return tocsin.outbox(recipient_id=person)


def test_a_moved_recipient_gets_their_digest_in_the_new_zones_morning(tocsin: Tocsin) -> None:
    add_digest(tocsin, {"schedule": "0 9 * * *"})
    tocsin.put_recipient("ada", email="ada@example.com", timezone="Asia/Tokyo")
    tocsin.send("news", "ada", {"name": "one"})
    tocsin.call("PATCH", "/recipients/ada", {"timezone": "America/New_York"})
    tocsin.advance(days=1)
    [mail] = sent(tocsin, "ada")
    at = datetime.fromisoformat(mail["accepted_at"]).astimezone(ZoneInfo("America/New_York"))
    assert f"{at:%H:%M}" == "09:00"


def test_a_throttle_of_an_hour_admits_the_next_sends_after_an_hour(tocsin: Tocsin) -> None:
    add_type(tocsin, {"channels": ["email"]}, throttle={"limit": 2, "per": "1h", "on_exceed": "defer"})
    add_person(tocsin)
    ids = [tocsin.send("news", "ada") for _ in range(2)]
    tocsin.settle()
    ids += [tocsin.send("news", "ada", priority=priority) for priority in (5, 4, 3)]
    for hours, through in ((0, {0, 1}), (1, {0, 1, 3, 4}), (1, {0, 1, 2, 3, 4})):
        tocsin.advance(hours=hours)
        assert {number for number, id in enumerate(ids) if tocsin.notification(id)["finished_at"]} == through


def test_quiet_hours_are_over_in_the_morning(tocsin: Tocsin) -> None:
    add_type(tocsin, {"channels": ["email"]})
    tocsin.put_recipient("ada", email="ada@example.com", timezone="Europe/Berlin")
    hours = {"start": "20:00", "end": "08:00"}
    tocsin.call("PUT", "/recipients/ada/preferences", {"quiet_hours": hours})
    for _ in range(4):
        tocsin.send("news", "ada")
        tocsin.advance(hours=6)
    tocsin.advance(hours=12)
    local = [
        datetime.fromisoformat(one["accepted_at"]).astimezone(ZoneInfo("Europe/Berlin")) for one in sent(tocsin, "ada")
    ]
    assert len(local) == 4
    assert all(8 <= at.hour < 20 for at in local)
