"""The payment reminder over its fortnight, in seconds."""

from pathlib import Path
from typing import Any

import pytest

from testing.tocsin import Tocsin

INVOICE = {"invoice": "4711", "amount": "99 EUR"}


@pytest.fixture(autouse=True)
def shop(tocsin: Tocsin) -> None:
    tocsin.apply(Path(__file__).parent)
    tocsin.person("ada", email="ada@example.com", phone="+447700900123")


def remind(tocsin: Tocsin, **more: Any) -> str:
    return tocsin.send("payment-reminder", "ada", INVOICE, **more)


def test_who_does_not_open_it_gets_a_text_message_after_three_days(tocsin: Tocsin) -> None:
    id = remind(tocsin)
    tocsin.advance(days=2, hours=23)
    assert tocsin.statuses(id) == {"email": "DELIVERED"}
    tocsin.advance(hours=1)
    assert tocsin.statuses(id) == {"email": "DELIVERED", "sms": "DELIVERED"}
    [text] = tocsin.outbox(channel="sms")
    assert text["content"]["text"] == "Invoice 4711 over 99 EUR is due."


def test_who_opens_it_is_left_in_peace(tocsin: Tocsin) -> None:
    id = remind(tocsin)
    tocsin.advance(days=1)
    tocsin.report(id, "opened")
    tocsin.advance(days=30)
    assert tocsin.statuses(id) == {"email": "OPENED"}


def test_nobody_waits_three_days_for_an_address_that_does_not_exist(tocsin: Tocsin) -> None:
    tocsin.person("ada", email="ada+bounce@example.com", phone="+447700900123")
    id = remind(tocsin)
    tocsin.settle()
    assert tocsin.statuses(id) == {"email": "FAILED", "sms": "DELIVERED"}


def test_a_reminder_for_next_week_goes_out_next_week(tocsin: Tocsin) -> None:
    id = remind(tocsin, send_at=tocsin.later(days=7))
    tocsin.advance(days=6)
    assert tocsin.outbox() == []
    assert tocsin.skip().days == 0
    assert tocsin.shown(id)["status"] == "DELIVERED"


def test_a_reminder_that_was_held_back_too_long_is_not_sent(tocsin: Tocsin) -> None:
    tocsin.call("POST", "/channels/email/pause")
    tocsin.call("POST", "/channels/sms/pause")
    id = remind(tocsin)
    tocsin.advance(days=15)
    assert tocsin.shown(id)["status"] == "EXPIRED"
    tocsin.call("POST", "/channels/email/resume")
    tocsin.call("POST", "/channels/sms/resume")
    tocsin.settle()
    assert tocsin.outbox() == []
