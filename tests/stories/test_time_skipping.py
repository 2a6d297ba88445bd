"""Check waits of days in skipped time: the clocks of Postgres, this process and each workflow advance together."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from testing.tocsin import Tocsin
from tests.stories.skipped_days import add_type, list_days, put_recipient

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


def test_a_held_send_expires_after_days(tocsin: Tocsin) -> None:
    add_type(tocsin, {"channels": ["email"]})
    put_recipient(tocsin)
    tocsin.call("POST", "/channels/email/pause")
    id = tocsin.send("news", "ada", expires_in="3d")
    tocsin.advance(days=3, minutes=-1)
    assert tocsin.notification(id)["status"] == "PENDING"
    tocsin.advance(minutes=1)
    notification = tocsin.notification(id)
    assert (notification["status"], notification["failure_reason"]) == ("EXPIRED", "email: expired")
    tocsin.call("POST", "/channels/email/resume")
    tocsin.advance(days=1)
    assert tocsin.outbox() == []


def test_a_send_held_for_days_is_sent_when_the_pause_ends(tocsin: Tocsin) -> None:
    """Do not count the time of the pause against the type's `give_up_after` of one hour."""
    add_type(tocsin, {"channels": ["email"]}, give_up_after="1h")
    put_recipient(tocsin)
    tocsin.call("POST", "/channels/email/pause")
    id = tocsin.send("news", "ada")
    tocsin.advance(days=5)
    tocsin.call("POST", "/channels/email/resume")
    tocsin.settle()
    assert tocsin.notification(id)["status"] == "DELIVERED"
    assert list_days(tocsin.notification(id), "held", "sent") == [0, 5]


def test_an_unavailable_vendor_is_retried_until_the_types_limit(tocsin: Tocsin) -> None:
    add_type(tocsin, {"channels": ["email"]}, give_up_after="2h")
    put_recipient(tocsin, "ada+error@example.com")
    id = tocsin.send("news", "ada")
    tocsin.advance(minutes=90)
    assert tocsin.notification(id)["status"] == "PENDING"
    tocsin.advance(minutes=30)
    assert tocsin.notification(id)["status"] == "FAILED"
    attempts = list_days(tocsin.notification(id), "attempt_not_accepted")
    assert len(attempts) > 15
    assert attempts[-1] <= 2 / 24


def test_the_receipt_of_a_lost_response_arrives_after_its_delay(tocsin: Tocsin) -> None:
    add_type(tocsin, {"channels": ["email"]}, delivery_guarantee="at_most_once")
    put_recipient(tocsin, "ada+lost@example.com")
    id = tocsin.send("news", "ada")
    tocsin.settle()
    assert tocsin.notification(id)["status"] == "IN_DOUBT"
    tocsin.advance(hours=2)
    assert tocsin.notification(id)["status"] == "DELIVERED"


def test_a_suppression_ends_after_its_days(tocsin: Tocsin) -> None:
    add_type(tocsin, {"channels": ["email"]})
    put_recipient(tocsin)
    suppression = {"channel": "email", "address": "ada@example.com", "reason": "manual", "expires_in": "3d"}
    tocsin.call("POST", "/suppressions", suppression)
    statuses = []
    for _ in range(2):
        id = tocsin.send("news", "ada")
        tocsin.settle()
        statuses.append(tocsin.notification(id)["status"])
        tocsin.advance(days=3)
    assert statuses == ["SUPPRESSED", "DELIVERED"]


def add_digest(tocsin: Tocsin, digest: dict[str, Any], **fields: Any) -> None:
    body = {"name": "news", "channel": "email", "language": "en", "subject_template": "News", "publish": True}
    template = "{{ total }}: {% for item in items %}{{ item.name }} {% endfor %}"
    tocsin.call("POST", "/templates", {**body, "body_template": template, "variables_schema": {}})
    notification_type = {"route": [{"channels": ["email"]}], "templates": {"email": "news"}, "digest": digest, **fields}
    tocsin.call("PUT", "/notification-types/news", notification_type)


def list_emails(tocsin: Tocsin, recipient_id: str) -> list[str]:
    return [message["content"]["text"].strip() for message in tocsin.outbox(recipient_id=recipient_id)]


def test_a_digest_window_of_days_closes_at_its_end(tocsin: Tocsin) -> None:
    add_digest(tocsin, {"window": "3d"})
    put_recipient(tocsin)
    first = tocsin.send("news", "ada", {"name": "one"})
    tocsin.advance(days=2)
    tocsin.send("news", "ada", {"name": "two"})
    tocsin.advance(hours=23)
    assert tocsin.notification(first)["status"] == "PENDING"
    tocsin.advance(hours=1)
    assert tocsin.notification(first)["status"] == "DIGESTED"
    tocsin.send("news", "ada", {"name": "three"})
    tocsin.advance(days=3)
    assert list_emails(tocsin, "ada") == ["2: one two", "1: three"]


def test_a_morning_digest_is_sent_in_each_recipients_morning(tocsin: Tocsin) -> None:
    """Close each recipient's window once a day, at 09:00 in the recipient's zone, by the tick of the type."""
    add_digest(tocsin, {"schedule": "0 9 * * *"})
    zones = {"ada": "Asia/Tokyo", "bob": "Europe/Berlin", "cyd": "America/New_York"}
    for recipient_id, zone in zones.items():
        tocsin.put_recipient(recipient_id, email=f"{recipient_id}@example.com", timezone=zone)
    for day in range(3):
        for recipient_id in zones:
            tocsin.send("news", recipient_id, {"name": f"day{day}"})
        tocsin.advance(days=1)
    for recipient_id, zone in zones.items():
        assert list_emails(tocsin, recipient_id) == ["1: day0", "1: day1", "1: day2"]
        local_times = [
            datetime.fromisoformat(one["accepted_at"]).astimezone(ZoneInfo(zone))
            for one in list_outbox(tocsin, recipient_id)
        ]
        assert {f"{local_time:%H:%M}" for local_time in local_times} == {"09:00"}


def list_outbox(tocsin: Tocsin, recipient_id: str) -> list[dict[str, Any]]:
    return tocsin.outbox(recipient_id=recipient_id)


def test_a_recipient_who_moves_gets_the_digest_in_the_new_zone(tocsin: Tocsin) -> None:
    add_digest(tocsin, {"schedule": "0 9 * * *"})
    tocsin.put_recipient("ada", email="ada@example.com", timezone="Asia/Tokyo")
    tocsin.send("news", "ada", {"name": "one"})
    tocsin.call("PATCH", "/recipients/ada", {"timezone": "America/New_York"})
    tocsin.advance(days=1)
    [mail] = list_outbox(tocsin, "ada")
    local_time = datetime.fromisoformat(mail["accepted_at"]).astimezone(ZoneInfo("America/New_York"))
    assert f"{local_time:%H:%M}" == "09:00"


def test_an_hourly_throttle_admits_the_next_sends_after_an_hour(tocsin: Tocsin) -> None:
    add_type(tocsin, {"channels": ["email"]}, throttle={"limit": 2, "per": "1h", "on_exceed": "defer"})
    put_recipient(tocsin)
    ids = [tocsin.send("news", "ada") for _ in range(2)]
    tocsin.settle()
    ids += [tocsin.send("news", "ada", priority=priority) for priority in (5, 4, 3)]
    for hours, admitted in ((0, {0, 1}), (1, {0, 1, 3, 4}), (1, {0, 1, 2, 3, 4})):
        tocsin.advance(hours=hours)
        assert {number for number, id in enumerate(ids) if tocsin.notification(id)["finished_at"]} == admitted


def test_sends_in_quiet_hours_are_sent_in_the_morning(tocsin: Tocsin) -> None:
    add_type(tocsin, {"channels": ["email"]})
    tocsin.put_recipient("ada", email="ada@example.com", timezone="Europe/Berlin")
    hours = {"start": "20:00", "end": "08:00"}
    tocsin.call("PUT", "/recipients/ada/preferences", {"quiet_hours": hours})
    for _ in range(4):
        tocsin.send("news", "ada")
        tocsin.advance(hours=6)
    tocsin.advance(hours=12)
    local_times = [
        datetime.fromisoformat(one["accepted_at"]).astimezone(ZoneInfo("Europe/Berlin"))
        for one in list_outbox(tocsin, "ada")
    ]
    assert len(local_times) == 4
    assert all(8 <= local_time.hour < 20 for local_time in local_times)
