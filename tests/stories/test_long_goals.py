"""Check steps whose goal has days, in skipped time: the next step runs if the goal is missed, and not before."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from testing.tocsin import Tocsin
from tests.stories.skipped_days import add_type, list_days, put_recipient

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


def add_alert(tocsin: Tocsin, until: str = "delivered", within: str = "3d", **fields: Any) -> None:
    """Put a type that sends by email, and by SMS if the email does not reach its goal."""
    add_type(tocsin, {"channels": ["email"], "until": until, "within": within}, {"channels": ["sms"]}, **fields)


def test_a_message_undelivered_for_three_days_falls_back(tocsin: Tocsin) -> None:
    add_alert(tocsin)
    put_recipient(tocsin, "ada+silent@example.com")
    id = tocsin.send("news", "ada")
    tocsin.advance(days=3, minutes=-1)
    assert tocsin.statuses(id) == {"email": "SENT"}
    tocsin.advance(minutes=1)
    assert tocsin.statuses(id) == {"email": "SENT", "sms": "DELIVERED"}
    notification = tocsin.notification(id)
    assert list_days(notification, "escalated") == [3]
    assert notification["finished_at"]


def test_a_delivery_on_the_third_day_reaches_the_goal(tocsin: Tocsin) -> None:
    add_alert(tocsin)
    put_recipient(tocsin, "ada+silent@example.com")
    id = tocsin.send("news", "ada")
    tocsin.advance(days=2, hours=23)
    tocsin.report(id, "delivered")
    assert tocsin.notification(id)["finished_at"]
    tocsin.advance(days=30)
    assert tocsin.statuses(id) == {"email": "DELIVERED"}


def test_a_receipt_after_the_next_step_moves_only_the_status(tocsin: Tocsin) -> None:
    add_alert(tocsin, until="opened")
    put_recipient(tocsin)
    id = tocsin.send("news", "ada")
    tocsin.advance(days=20)
    assert tocsin.statuses(id) == {"email": "DELIVERED", "sms": "DELIVERED"}
    tocsin.report(id, "opened", "email")
    assert (tocsin.statuses(id)["email"], tocsin.notification(id)["status"]) == ("OPENED", "OPENED")
    assert len(tocsin.outbox()) == 2


def test_steps_that_wait_for_days_run_one_after_the_other(tocsin: Tocsin) -> None:
    waits = [{"channels": [channel], "until": "opened", "within": "2d"} for channel in ("email", "sms")]
    add_type(tocsin, *waits, {"channels": ["in_app"]})
    put_recipient(tocsin)
    id = tocsin.send("news", "ada")
    tocsin.advance(days=7)
    notification = tocsin.notification(id)
    assert list_days(notification, "escalated") == [2, 4]
    assert [delivery["channel"] for delivery in notification["deliveries"]] == ["email", "sms", "in_app"]


def send_with_fallback(tocsin: Tocsin, channel: str) -> str:
    """Send by this channel, and by email if it is not opened in three days. Return the notification's id."""
    add_type(tocsin, {"channels": [channel], "until": "opened", "within": "3d"}, {"channels": ["email"]})
    put_recipient(tocsin)
    tocsin.put_device("ada", "phone", "token-silent")
    return tocsin.send("news", "ada")


def test_an_unread_inbox_item_is_followed_by_an_email(tocsin: Tocsin) -> None:
    id = send_with_fallback(tocsin, "in_app")
    tocsin.settle()
    [item] = tocsin.call("GET", "/inbox?recipient_id=ada")["items"]
    tocsin.call("POST", f"/inbox/{item['id']}/seen")
    tocsin.advance(days=3, minutes=-1)
    assert tocsin.statuses(id) == {"in_app": "SENT"}
    tocsin.advance(minutes=1)
    assert tocsin.statuses(id) == {"in_app": "SENT", "email": "DELIVERED"}


@pytest.mark.parametrize("path", ["/inbox/{id}/read", "/inbox/read-all?recipient_id=ada"])
def test_a_read_inbox_item_is_followed_by_no_email(tocsin: Tocsin, path: str) -> None:
    id = send_with_fallback(tocsin, "in_app")
    tocsin.advance(days=2)
    [item] = tocsin.call("GET", "/inbox?recipient_id=ada")["items"]
    for _ in range(2):
        tocsin.call("POST", path.format(id=item["id"]))
        tocsin.settle()
    notification = tocsin.notification(id)
    assert notification["finished_at"]
    assert list_days(notification, "opened") == [2]
    tocsin.advance(days=30)
    assert (tocsin.notification(id)["status"], tocsin.statuses(id)) == ("OPENED", {"in_app": "OPENED"})


@pytest.mark.parametrize("event", ["opened", "clicked"])
def test_a_push_that_the_app_reports_as_opened_sends_no_email(tocsin: Tocsin, event: str) -> None:
    id = send_with_fallback(tocsin, "push")
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
    id = send_with_fallback(tocsin, "push")
    tocsin.advance(days=3)
    assert tocsin.statuses(id) == {"push": "SENT", "email": "DELIVERED"}


def test_the_wait_of_a_scheduled_send_starts_at_its_send_at(tocsin: Tocsin) -> None:
    add_alert(tocsin, within="1d")
    put_recipient(tocsin, "ada+silent@example.com")
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


def test_a_cancel_on_the_second_day_stops_the_next_step(tocsin: Tocsin) -> None:
    add_alert(tocsin)
    put_recipient(tocsin, "ada+silent@example.com")
    id = tocsin.send("news", "ada")
    tocsin.advance(days=2)
    assert tocsin.cancel(id)["channels"] == {"email": "already_sent", "sms": "stopped"}
    tocsin.advance(days=2)
    assert tocsin.statuses(id) == {"email": "SENT"}


def test_many_sends_with_different_times_all_reach_the_correct_state(tocsin: Tocsin) -> None:
    add_alert(tocsin)
    put_recipient(tocsin, "ada+silent@example.com")
    ids = [tocsin.send("news", "ada", send_at=tocsin.time_in(days=day)) for day in range(10)]
    tocsin.advance(days=6, minutes=1)
    notifications = [tocsin.notification(id) for id in ids]
    assert [len(notification["deliveries"]) for notification in notifications] == [2, 2, 2, 2, 1, 1, 1, 0, 0, 0]
    tocsin.advance(days=30)
    assert [tocsin.statuses(id) for id in ids] == [{"email": "SENT", "sms": "DELIVERED"}] * 10
    assert [list_days(tocsin.notification(id), "escalated") for id in ids] == [[day + 3] for day in range(10)]
