"""Test that every email vendor gets the whole email: sender, copies, reply address, headers and attachments."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from domain.channels import Channel
from domain.email_options import EmailAttachment, EmailOptions, Mailbox
from domain.outgoing_messages import OutgoingMessage
from providers.email_fields import format_mailbox, is_about_copy, reason_without_address, recipient_digest
from providers.outcomes import ProviderAcceptance
from providers.registry import PROVIDERS
from storage.database import Database
from testing.vendors.emails import VendorEmail
from tests.outgoing_messages import outgoing_message
from tests.providers.harness import Bench, ContractCase
from tests.providers.harnesses import HARNESSES

EMAIL_VENDORS = sorted(
    name for name, provider in PROVIDERS.items() if Channel.EMAIL in provider.channels and name != "sandbox"
)
UNSUBSCRIBE_URL = "https://tocsin.example/unsubscribe/" + "t" * 300
INVOICE = EmailAttachment(name="Rechnung März.pdf", content_type="application/pdf", content=b"%PDF-1.7 \x00\xff")
CALENDAR = EmailAttachment(
    name="visit.ics", content_type="text/calendar", content=b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"
)
OPTIONS = EmailOptions(
    sender=Mailbox(email="orders@mail.example", name="Orders, Ltd"),
    reply_to=Mailbox(email="help@mail.example", name="Zoë"),
    cc=("bob@example.com", "cleo@example.com"),
    bcc=("archive@example.com",),
    headers={"X-Order": "4711", "In-Reply-To": "<first@mail.example>"},
    attachments=(INVOICE, CALENDAR),
    unsubscribe_url=UNSUBSCRIBE_URL,
)
CONTENT = {"subject": "Größe", "html": "<p>Grüße</p>", "text": "Grüße"}


@pytest.fixture(params=EMAIL_VENDORS)
async def bench(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Bench]:
    async with HARNESSES[request.param].bench(database) as bench:
        yield bench


async def sent(bench: Bench, **changes: Any) -> tuple[OutgoingMessage, VendorEmail]:
    message = replace(await bench.message(ContractCase.ACCEPTS), content=CONTENT, **changes)
    outcome = await bench.provider.send(message)
    assert isinstance(outcome, ProviderAcceptance), outcome
    return message, bench.email()


async def test_an_email_arrives_with_all_its_options(bench: Bench) -> None:
    message, email = await sent(bench, email=OPTIONS)
    sender_name = HARNESSES[bench.provider.name].sender_name
    assert (email.sender, email.reply_to) == ((sender_name, "orders@mail.example"), ("Zoë", "help@mail.example"))
    assert (email.to, email.cc, email.bcc) == ([message.address["email"]], list(OPTIONS.cc), list(OPTIONS.bcc))
    assert (email.subject, email.text, email.html) == tuple(CONTENT[name] for name in ("subject", "text", "html"))
    assert email.attachments == [(each.name, each.content_type, each.content) for each in OPTIONS.attachments]


async def test_the_headers_arrive_whole(bench: Bench) -> None:
    message, email = await sent(bench, email=OPTIONS)
    expected = {
        "message-id": f"<{message.delivery_id}@mail.example>",
        "auto-submitted": "auto-generated",
        "feedback-id": f"order.shipped:{message.tenant.hex}:tocsin",
        "x-tocsin-attempt": str(message.attempt_id),
        "list-unsubscribe": f"<{UNSUBSCRIBE_URL}>",
        "list-unsubscribe-post": "List-Unsubscribe=One-Click",
        "list-id": f"<order-shipped.{message.tenant.hex}.mail.example>",
        "x-order": "4711",
        "in-reply-to": "<first@mail.example>",
    }
    assert {name: email.headers.get(name) for name in expected} == expected


async def test_an_email_without_options_has_none(bench: Bench) -> None:
    _, email = await sent(bench)
    assert (email.cc, email.bcc, email.reply_to, email.attachments) == ([], [], None, [])
    assert not {"list-unsubscribe", "list-unsubscribe-post", "list-id"} & set(email.headers)


def test_the_events_of_a_copy_differ_from_those_of_the_recipient() -> None:
    attempt_id = uuid4()
    digest = recipient_digest(attempt_id, "ada@example.com")
    assert not is_about_copy(attempt_id, "Ada@Example.com", digest)
    assert is_about_copy(attempt_id, "bob@example.com", digest)
    assert is_about_copy(attempt_id, None, digest)
    assert not is_about_copy(attempt_id, "bob@example.com", None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "a@mail.example"),
        ("\r\n", "a@mail.example"),
        ("Zoë", "Zoë <a@mail.example>"),
        ("St. Zoë\r\nBcc:", '"St. Zoë Bcc:" <a@mail.example>'),
        ('Zoë "Z", Ltd\\', '"Zoë \\"Z\\", Ltd\\\\" <a@mail.example>'),
    ],
)
def test_a_mailbox_is_one_text(name: str, text: str) -> None:
    assert format_mailbox(Mailbox(email="a@mail.example", name=name)) == text


@pytest.mark.parametrize(
    ("cc", "reason", "expected"),
    [
        ((), "bounced_before", "bounced_before"),
        (("bob@example.com",), "bounced_before", "bad_request"),
        (("bob@example.com",), "content_refused", "content_refused"),
    ],
)
def test_an_error_that_names_no_address_may_be_about_a_copy(cc: tuple[str, ...], reason: str, expected: str) -> None:
    message = replace(outgoing_message(), email=EmailOptions(cc=cc))
    assert reason_without_address(message, reason) == expected
