"""Test Resend: the request and the check."""

from collections.abc import AsyncIterator

import pytest

from domain.email_options import EmailOptions, Mailbox
from providers.email_fields import recipient_digest
from providers.outcomes import PermanentError, ProviderAcceptance
from providers.resend.options import COPY_DIGEST, REFERENCE
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.resend import error
from tests.providers.harness_resend import ALL_OPTIONS, ResendBench, problems, sample, sent

OPENAPI = sample("emails_openapi")


@pytest.fixture
async def bench() -> AsyncIterator[ResendBench]:
    async with ResendBench.running() as bench:
        yield bench


@pytest.mark.parametrize("options", [EmailOptions(), ALL_OPTIONS], ids=["no options", "all options"])
async def test_a_request_satisfies_the_published_schema(bench: ResendBench, options: EmailOptions) -> None:
    _, request = await sent(bench, email=options, tags=("orders",))
    assert problems("SendEmailRequest", request) == []
    assert [problems("Attachment", each) for each in request.get("attachments", [])] == [[]] * len(options.attachments)
    assert [problems("Tag", each) for each in request["tags"]] == [[]] * len(request["tags"])
    assert problems("SendEmailRequest", {**request, "to": []})
    assert problems("Tag", {"name": "orders", "content": "true"})


async def test_the_attempt_id_is_the_key_and_a_tag(bench: ResendBench) -> None:
    message, request = await sent(bench)
    [headers] = [request.headers for request in bench.vendor.log.requests]
    assert headers["idempotency-key"] == str(message.attempt_id)
    assert request["tags"] == [{"name": REFERENCE, "value": str(message.attempt_id)}]
    [parameter] = OPENAPI["paths"]["/emails"]["post"]["parameters"]
    assert (parameter["name"], parameter["schema"]["maxLength"]) == ("Idempotency-Key", 256)


async def test_an_email_with_copies_names_its_recipient_by_a_digest(bench: ResendBench) -> None:
    message, request = await sent(bench, email=EmailOptions(bcc=("eve@example.com",)))
    digest = recipient_digest(message.attempt_id, message.address["email"])
    assert {tag["name"]: tag["value"] for tag in request["tags"]}[COPY_DIGEST] == digest


async def test_tags_that_the_vendor_would_refuse_are_omitted(bench: ResendBench) -> None:
    tags = ("orders", "größe", "a b", "", "x" * 257, "orders", REFERENCE, *(f"t{number}" for number in range(80)))
    _, request = await sent(bench, tags=tags)
    names = [tag["name"] for tag in request["tags"]]
    assert (len(names), names[:3]) == (75, [REFERENCE, "orders", "t0"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "orders@mail.example"),
        ("Zoë", "Zoë <orders@mail.example>"),
        ('"Z", Orders <Ltd>', "Z Orders Ltd <orders@mail.example>"),
        ("A\r\nBcc: x", "A Bcc x <orders@mail.example>"),
        (", ", "orders@mail.example"),
    ],
)
async def test_a_name_needs_no_quotes(bench: ResendBench, name: str, expected: str) -> None:
    mailbox = Mailbox(email="orders@mail.example", name=name)
    _, request = await sent(bench, email=EmailOptions(sender=mailbox, reply_to=mailbox))
    assert (request["from"], request["reply_to"]) == (expected, [expected])


async def test_a_line_break_in_a_subject_becomes_a_space(bench: ResendBench) -> None:
    _, request = await sent(bench, content={**ResendBench.content, "subject": "Your\r\norder"})
    assert request["subject"] == "Your order"


@pytest.mark.parametrize("part", ["html", "text"])
async def test_an_empty_part_is_omitted(bench: ResendBench, part: str) -> None:
    _, request = await sent(bench, content={**ResendBench.content, part: ""})
    assert part not in request


async def test_an_international_domain_is_sent_in_its_ascii_form(bench: ResendBench) -> None:
    address = {"email": "a+good@müller.de", "email_ascii": "a+good@xn--mller-kva.de"}
    _, request = await sent(bench, address=address)
    assert request["to"] == ["a+good@xn--mller-kva.de"]


async def test_the_message_id_is_that_of_the_response(bench: ResendBench) -> None:
    assert problems("SendEmailResponse", {"id": "49a3999c"}) == []
    bench.vendor.reply = Reply(status=200, body={"id": "49a3999c"})
    outcome = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert outcome == ProviderAcceptance(message_id="49a3999c", response={"status": 200})


async def test_a_check_accepts_a_key_that_may_only_send(bench: ResendBench) -> None:
    assert await bench.provider.check() == "the API key is valid and may send mail"
    bench.vendor.is_sending_key = True
    assert await bench.provider.check() == "the API key is valid and may only send mail"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (error(400, "validation_error", "API key is invalid"), "credentials_refused"),
        (error(403, "restricted_api_key", "API key is not active"), "credentials_refused"),
        (error(403, "suspended_api_key", "This API key is suspended"), "account_suspended"),
        (error(400, "validation_error", "Something else"), "unexpected_answer"),
    ],
)
async def test_a_check_reports_what_is_wrong_with_the_key(bench: ResendBench, reply: Reply, reason: str) -> None:
    bench.vendor.lookup_override = reply
    with pytest.raises(PermanentError, match=f"^{reason}$"):
        await bench.provider.check()
