"""Test the callbacks of Amazon SNS: their signature, certificate, topic and time, and subscriptions."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from providers.base import ForgedReceipt, ProviderReceipt
from providers.outcomes import TemporaryError
from providers.ses import sns
from providers.ses.adapter import Ses
from providers.ses.sns import build_signed_text
from testing.vendors.http import Reply
from testing.vendors.log import VendorMessage
from testing.vendors.ses import CERTIFICATE_PATH, TOPIC_ARN, certificate_of, signing_key
from tests.providers.harness_ses import SesBench

# https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html: the examples of the string to sign
TOPIC = "arn:aws:sns:us-east-2:123456789012:s4-MySNSTopic-1G1WEFCOXTC0P"
NOTIFICATION = {
    "Type": "Notification",
    "MessageId": "4d4dc071-ddbf-465d-bba8-08f81c89da64",
    "TopicArn": TOPIC,
    "Subject": "My subject",
    "Message": "My Test Message",
    "Timestamp": "2019-01-31T04:37:04.321Z",
    "SignatureVersion": "1",
    "Signature": "…",
    "SigningCertURL": "…",
    "UnsubscribeURL": "…",
}
SIGNED_NOTIFICATION = (
    "Message\nMy Test Message\nMessageId\n4d4dc071-ddbf-465d-bba8-08f81c89da64\nSubject\nMy subject\n"
    f"Timestamp\n2019-01-31T04:37:04.321Z\nTopicArn\n{TOPIC}\nType\nNotification\n"
)
SUBSCRIBE_URL = f"https://sns.us-east-2.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=233..."
CONFIRMATION = {
    "Type": "SubscriptionConfirmation",
    "MessageId": "3d891288-136d-417f-bc05-901c108273ee",
    "Token": "233...",
    "TopicArn": TOPIC,
    "Message": "My Test Message",
    "SubscribeURL": SUBSCRIBE_URL,
    "Timestamp": "2019-01-31T19:25:13.719Z",
}
SIGNED_CONFIRMATION = (
    f"Message\nMy Test Message\nMessageId\n3d891288-136d-417f-bc05-901c108273ee\nSubscribeURL\n{SUBSCRIBE_URL}\n"
    f"Timestamp\n2019-01-31T19:25:13.719Z\nToken\n233...\nTopicArn\n{TOPIC}\nType\nSubscriptionConfirmation\n"
)


@pytest.fixture
async def bench() -> AsyncIterator[SesBench]:
    async with SesBench.running() as bench:
        yield bench


def event(bench: SesBench) -> str:
    message = VendorMessage(reference="816f0b9f-7ffd-5131-839d-9576d8637861", to="ada@example.com", message_id="0102")
    return bench.vendor.receipt_body(message, "Delivery", datetime.now(UTC)).decode()


def notification(bench: SesBench, at: datetime | None = None, **fields: str) -> bytes:
    return bench.vendor.wrap({"Type": "Notification", "Message": event(bench)} | fields, at or datetime.now(UTC))


def confirmation(bench: SesBench, kind: str = "SubscriptionConfirmation", **fields: str) -> bytes:
    url = f"{bench.vendor.url}/?Action=ConfirmSubscription&TopicArn={TOPIC_ARN}&Token=t"
    message = {"Type": kind, "Message": "You have chosen to subscribe", "Token": "t", "SubscribeURL": url} | fields
    return bench.vendor.wrap(message, datetime.now(UTC))


async def read(bench: SesBench, body: bytes, adapter: Ses | None = None) -> list[ProviderReceipt]:
    adapter = adapter or bench.adapter()
    await adapter.prepare_receipts({}, body)
    return adapter.parse_receipts({}, body)


def test_the_signed_text_is_that_of_the_vendors_examples() -> None:
    assert build_signed_text(NOTIFICATION).decode() == SIGNED_NOTIFICATION
    assert build_signed_text(CONFIRMATION).decode() == SIGNED_CONFIRMATION
    without_subject = {name: value for name, value in NOTIFICATION.items() if name != "Subject"}
    assert build_signed_text(without_subject).decode() == SIGNED_NOTIFICATION.replace("Subject\nMy subject\n", "")


@pytest.mark.parametrize("version", ["1", "2"])
async def test_both_versions_of_the_signature_are_verified(bench: SesBench, version: str) -> None:
    bench.vendor.signature_version = version
    body = notification(bench, Subject="Amazon SES Email Event Notification")
    assert len(await read(bench, body)) == 1
    other = json.dumps(json.loads(body) | {"SignatureVersion": "3" if version == "2" else "2"}).encode()
    with pytest.raises(ForgedReceipt):
        await read(bench, other)


@pytest.mark.parametrize("name", ["Message", "MessageId", "Subject", "Timestamp", "Type", "TopicArn", "Signature"])
async def test_a_changed_field_is_refused(bench: SesBench, name: str) -> None:
    message = json.loads(notification(bench, Subject="Event"))
    changed = {"Type": "UnsubscribeConfirmation", "Timestamp": datetime.now(UTC).isoformat(), "Signature": "AAAA"}
    adapter = bench.adapter(topic_arn=f"{TOPIC_ARN}, {TOPIC_ARN}2")
    assert await read(bench, json.dumps(message).encode(), adapter)
    fields = message | {name: changed.get(name, f"{message[name]}2")}
    with pytest.raises(ForgedReceipt):
        await read(bench, json.dumps({"Token": "t", "SubscribeURL": "u"} | fields).encode(), adapter)


@pytest.mark.parametrize("topics", ["", f"{TOPIC_ARN}2", TOPIC_ARN.replace("1234", "9999")])
async def test_a_genuine_message_of_another_topic_is_refused_without_a_fetch(bench: SesBench, topics: str) -> None:
    with pytest.raises(ForgedReceipt, match="TOCSIN_SES_TOPIC_ARN"):
        await read(bench, notification(bench), bench.adapter(topic_arn=topics))
    assert bench.vendor.fetches == 0


SNS = "https://sns.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    "url",
    [
        f"http://sns.eu-west-1.amazonaws.com{CERTIFICATE_PATH}",
        f"https://sns.us-east-1.amazonaws.com{CERTIFICATE_PATH}",
        f"{SNS}.evil.example{CERTIFICATE_PATH}",
        f"{SNS}@evil.example{CERTIFICATE_PATH}",
        f"{SNS}:8443{CERTIFICATE_PATH}",
        f"https://evil.example/sns.eu-west-1.amazonaws.com{CERTIFICATE_PATH}",
        f"{SNS}/certificate.txt",
        f"{SNS}/../x.pem",
        f"{SNS}{CERTIFICATE_PATH}?x=.pem",
        f"{SNS}{CERTIFICATE_PATH}#.pem",
        f"{SNS}{CERTIFICATE_PATH}\n",
        "",
    ],
)
async def test_a_certificate_of_another_address_is_never_fetched(bench: SesBench, url: str) -> None:
    adapter = bench.adapter(sns_url="")
    with pytest.raises(ForgedReceipt, match="in this region"):
        await adapter.prepare_receipts({}, notification(bench, SigningCertURL=url))


async def test_a_certificate_is_fetched_once(bench: SesBench) -> None:
    adapter = bench.adapter()
    for _ in range(3):
        assert await read(bench, notification(bench), adapter)
    assert bench.vendor.fetches == 1


async def test_a_certificate_is_fetched_again_after_its_lifetime(
    bench: SesBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = bench.adapter()
    assert await read(bench, notification(bench), adapter)
    monkeypatch.setattr(sns, "KEY_LIFETIME", 0.0)
    assert await read(bench, notification(bench), adapter)
    assert bench.vendor.fetches == 2


async def test_a_few_certificates_are_kept(bench: SesBench) -> None:
    adapter, urls = bench.adapter(), [f"{bench.vendor.url}/{number}.pem" for number in range(sns.MAX_KEYS + 3)]
    for url in urls:
        assert await read(bench, notification(bench, SigningCertURL=url), adapter)
    assert list(adapter._callbacks._keys) == urls[3:]


async def test_concurrent_callbacks_fetch_their_certificate_once(bench: SesBench) -> None:
    adapter = bench.adapter()
    await asyncio.gather(*(read(bench, notification(bench), adapter) for _ in range(5)))
    assert bench.vendor.fetches == 1


async def test_a_callback_with_a_known_certificate_does_not_wait_for_a_fetch(bench: SesBench) -> None:
    adapter = bench.adapter()
    assert await read(bench, notification(bench), adapter)
    async with adapter._callbacks._fetching, asyncio.timeout(5):
        assert await read(bench, notification(bench), adapter)


async def test_a_message_whose_certificate_was_not_fetched_is_refused(bench: SesBench) -> None:
    with pytest.raises(ForgedReceipt):
        bench.adapter().parse_receipts({}, notification(bench))


@pytest.mark.parametrize("age", [timedelta(days=400), -timedelta(days=2)], ids=["expired", "not valid yet"])
async def test_a_certificate_that_is_not_valid_today_is_refused(bench: SesBench, age: timedelta) -> None:
    bench.vendor.certificate = Reply(status=200, body=certificate_of(signing_key(), age=age))
    with pytest.raises(ForgedReceipt, match="not valid today"):
        await read(bench, notification(bench))


@pytest.mark.parametrize("reply", [Reply(status=200, body=b"<html>"), Reply(status=200), Reply(status=404)])
async def test_a_certificate_that_does_not_exist_is_refused(bench: SesBench, reply: Reply) -> None:
    bench.vendor.certificate = reply
    with pytest.raises(ForgedReceipt):
        await read(bench, notification(bench))


@pytest.mark.parametrize("status", [204, 302, 500, 503])
async def test_a_certificate_that_cannot_be_fetched_now_is_a_temporary_error(bench: SesBench, status: int) -> None:
    adapter, genuine = bench.adapter(), bench.vendor.certificate
    bench.vendor.certificate = Reply(status=status, headers={"location": bench.vendor.url})
    with pytest.raises(TemporaryError):
        await read(bench, notification(bench), adapter)
    bench.vendor.certificate = genuine
    assert await read(bench, notification(bench), adapter)


@pytest.mark.parametrize("age", [timedelta(), timedelta(hours=1), -timedelta(minutes=4)])
async def test_a_callback_is_accepted_while_the_vendor_repeats_it(bench: SesBench, age: timedelta) -> None:
    assert await read(bench, notification(bench, datetime.now(UTC) - age))


@pytest.mark.parametrize("age", [timedelta(hours=2), timedelta(days=1), -timedelta(minutes=10)])
async def test_an_older_or_future_callback_is_refused(bench: SesBench, age: timedelta) -> None:
    with pytest.raises(ForgedReceipt, match="older than an hour"):
        await read(bench, notification(bench, datetime.now(UTC) - age))


async def test_a_genuine_subscription_is_confirmed(bench: SesBench) -> None:
    assert await read(bench, confirmation(bench)) == []
    assert bench.vendor.confirmations == [f"/?Action=ConfirmSubscription&TopicArn={TOPIC_ARN}&Token=t"]


@pytest.mark.parametrize("changed", [{"Token": "other"}, {"TopicArn": f"{TOPIC_ARN}2"}])
async def test_a_forged_subscription_is_not_confirmed(bench: SesBench, changed: dict[str, str]) -> None:
    body = json.dumps(json.loads(confirmation(bench)) | changed).encode()
    with pytest.raises(ForgedReceipt):
        await read(bench, body, bench.adapter(topic_arn=f"{TOPIC_ARN},{TOPIC_ARN}2"))
    assert bench.vendor.confirmations == []


async def test_a_subscription_at_another_address_is_not_confirmed(bench: SesBench) -> None:
    url = f"http://localhost:{bench.vendor.port}/?Action=ConfirmSubscription&Token=t"
    with pytest.raises(ForgedReceipt, match="in this region"):
        await read(bench, confirmation(bench, SubscribeURL=url))
    assert bench.vendor.confirmations == []


async def test_an_ended_subscription_is_not_renewed(bench: SesBench) -> None:
    assert await read(bench, confirmation(bench, "UnsubscribeConfirmation")) == []
    assert bench.vendor.confirmations == []


@pytest.mark.parametrize("body", [b"", b"\xff", b"null", b"[]", b"{}", b'{"Type": ["Notification"]}'])
async def test_a_body_that_is_no_message_of_sns_is_refused(bench: SesBench, body: bytes) -> None:
    with pytest.raises(ForgedReceipt):
        await read(bench, body)
