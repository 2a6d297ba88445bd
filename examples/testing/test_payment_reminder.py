"""Test the payment reminder over its two weeks, in seconds."""

from pathlib import Path
from typing import Any

import pytest

from testing.tocsin import Tocsin

INVOICE = {"invoice": "4711", "amount": "99 EUR"}


@pytest.fixture(autouse=True)
def shop(tocsin: Tocsin) -> None:
    tocsin.apply(Path(__file__).parent)
    tocsin.put_recipient("ada", email="ada@example.com", phone="+447700900123")


def remind(tocsin: Tocsin, **fields: Any) -> str:
    return tocsin.send("payment-reminder", "ada", INVOICE, **fields)


def test_an_email_that_is_not_opened_is_followed_by_a_text_message(tocsin: Tocsin) -> None:
    id = remind(tocsin)
    tocsin.advance(days=2, hours=23)
    assert tocsin.statuses(id) == {"email": "DELIVERED"}
    tocsin.advance(hours=1)
    assert tocsin.statuses(id) == {"email": "DELIVERED", "sms": "DELIVERED"}
    [text] = tocsin.outbox(channel="sms")
    assert text["content"]["text"] == "Invoice 4711 over 99 EUR is due."


def test_an_email_that_is_opened_is_not_followed_up(tocsin: Tocsin) -> None:
    id = remind(tocsin)
    tocsin.advance(days=1)
    tocsin.report(id, "opened")
    tocsin.advance(days=30)
    assert tocsin.statuses(id) == {"email": "OPENED"}


def test_an_address_that_bounces_falls_back_to_a_text_message(tocsin: Tocsin) -> None:
    tocsin.put_recipient("ada", email="ada+bounce@example.com", phone="+447700900123")
    id = remind(tocsin)
    tocsin.settle()
    assert tocsin.statuses(id) == {"email": "FAILED", "sms": "DELIVERED"}


def test_a_reminder_for_a_later_day_is_sent_that_day(tocsin: Tocsin) -> None:
    id = remind(tocsin, send_at=tocsin.time_in(days=7))
    tocsin.advance(days=6)
    assert tocsin.outbox() == []
    assert tocsin.skip().days == 0
    assert tocsin.notification(id)["status"] == "DELIVERED"


def test_a_reminder_that_expires_while_paused_is_not_sent(tocsin: Tocsin) -> None:
    tocsin.call("POST", "/channels/email/pause")
    tocsin.call("POST", "/channels/sms/pause")
    id = remind(tocsin)
    tocsin.advance(days=15)
    assert tocsin.notification(id)["status"] == "EXPIRED"
    tocsin.call("POST", "/channels/email/resume")
    tocsin.call("POST", "/channels/sms/resume")
    tocsin.settle()
    assert tocsin.outbox() == []
