"""Test the sandbox: the faults of contact points, the count of calls, and the receipts."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from domain.channels import Channel, DeviceKind
from domain.chat_urls import ChatService
from domain.names import SANDBOX_CHANNEL
from domain.outgoing_messages import OutgoingMessage
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError, UnknownOutcome
from providers.sandbox import Sandbox, SandboxMode, parse_mode
from storage.database import Database
from storage.sandbox import PostgresSandboxStore
from tests.providers.harness import message_to
from tests.providers.harness_chat import chat_url
from tests.providers.harness_own import SandboxBench, sandbox_outcome
from tests.providers.test_email_options import OPTIONS
from tests.storage.sends import DatabaseTenant

pytestmark = pytest.mark.postgres
# As in docs/providers.md: a documented contract for users' tests.
WORDS = {
    "refuse": "0001",
    "error": "0002",
    "flaky": "0003",
    "throttle": "0004",
    "lost": "0005",
    "hang": "0006",
    "broken": "0007",
    "silent": "0008",
    "open": "0009",
    "bounce": "0010",
    "complain": "0011",
    "delay": "0012",
    "unsubscribe": "0013",
}
ACCEPTED, REFUSED, TEMPORARY, PERMANENT, UNKNOWN = (
    ProviderAcceptance,
    ProviderRefusal,
    TemporaryError,
    PermanentError,
    UnknownOutcome,
)


@pytest.fixture
def sandbox(database: Database) -> Sandbox:
    return Sandbox(PostgresSandboxStore(database), SandboxBench.SECRET)


def test_the_words_and_digits_equal_the_documented_ones() -> None:
    assert {str(mode): digits for mode, digits in zip(SandboxMode, WORDS.values(), strict=True)} == WORDS


@pytest.mark.parametrize(("word", "digits"), WORDS.items())
def test_a_contact_point_of_any_channel_may_contain_a_sandbox_word(word: str, digits: str) -> None:
    asking: list[dict[str, Any]] = [
        {"email": f"ada+{word}@example.com"},
        {"email": f"ada+{word.upper()}@example.com"},
        {"token": f"t-{word}-1"},
        {"url": f"https://hooks.example.com/{word}"},
        *({"url": chat_url(service, word)} for service in ChatService),
        {"subscription": {"endpoint": f"https://push.example.com/{word}/1", "keys": {"auth": "x", "p256dh": "y"}}},
        {"phone": f"+44770090{digits}"},
    ]
    assert [parse_mode(address) for address in asking] == [SandboxMode(word)] * len(asking)


@pytest.mark.parametrize(
    "address",
    [
        {},
        {"email": "ada@example.com"},
        {"phone": "+447700900123"},
        {"phone": "+447700900014"},
        {"phone": "+447700000100"},
        {"token": "abc"},
        {"url": "https://hooks.example.com/in"},
        *({"url": chat_url(service, "T0k3n")} for service in ChatService),
        {"subscription": {"endpoint": "https://push.example.com/1", "keys": {"auth": "x", "p256dh": "y"}}},
    ],
)
def test_an_ordinary_contact_point_contains_no_sandbox_word(address: dict[str, Any]) -> None:
    assert parse_mode(address) is None


@pytest.mark.parametrize(
    ("word", "outcomes", "kept"),
    [
        ("", [ACCEPTED, ACCEPTED], 2),
        ("refuse", [REFUSED, REFUSED], 0),
        ("error", [TEMPORARY] * 4, 0),
        ("flaky", [TEMPORARY, TEMPORARY, ACCEPTED], 1),
        ("throttle", [TEMPORARY, ACCEPTED], 1),
        ("lost", [UNKNOWN, ACCEPTED], 2),
        ("broken", [PERMANENT, PERMANENT], 0),
        ("silent", [ACCEPTED], 1),
        ("open", [ACCEPTED], 1),
        ("bounce", [ACCEPTED], 1),
        ("complain", [ACCEPTED], 1),
        ("delay", [ACCEPTED], 1),
        ("unsubscribe", [ACCEPTED], 1),
    ],
)
async def test_one_delivery_gets_these_results_in_order(
    database_tenant: DatabaseTenant, sandbox: Sandbox, word: str, outcomes: list[type], kept: int
) -> None:
    message = await message_to(database_tenant, Channel.EMAIL, {"email": f"ada+{word}@example.com"})
    results = [await sandbox_outcome(sandbox, replace(message, attempt_id=uuid4())) for _ in outcomes]
    assert results == outcomes
    assert len(await outbox(database_tenant, message)) == kept


async def outbox(database_tenant: DatabaseTenant, message: OutgoingMessage) -> list[dict[str, Any]]:
    return await database_tenant.query("SELECT * FROM sandbox_message WHERE delivery_id = :id", id=message.delivery_id)


async def test_an_email_keeps_its_options_without_file_contents_and_secret_links(
    database_tenant: DatabaseTenant, sandbox: Sandbox
) -> None:
    email = await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"})
    await sandbox.send(replace(email, email=OPTIONS))
    [row] = await outbox(database_tenant, email)
    assert row["email_options"] == {
        "sender": {"email": "orders@mail.example", "name": "Orders, Ltd"},
        "reply_to": {"email": "help@mail.example", "name": "Zoë"},
        "cc": ["bob@example.com", "cleo@example.com"],
        "bcc": ["archive@example.com"],
        "headers": {"X-Order": "4711", "In-Reply-To": "<first@mail.example>"},
        "attachments": [
            {"name": "Rechnung März.pdf", "content_type": "application/pdf", "size": 11},
            {"name": "visit.ics", "content_type": "text/calendar", "size": 32},
        ],
    }


async def test_a_message_other_than_an_email_has_no_email_options(
    database_tenant: DatabaseTenant, sandbox: Sandbox
) -> None:
    push = await message_to(database_tenant, Channel.PUSH, {"token": "abc"})
    await sandbox.send(push)
    [row] = await outbox(database_tenant, push)
    assert row["email_options"] is None


async def test_calls_are_counted_per_delivery_and_endpoint(database_tenant: DatabaseTenant, sandbox: Sandbox) -> None:
    phone = await message_to(database_tenant, Channel.PUSH, {"token": "throttle"})
    tablet = replace(phone, endpoint_id="tablet", attempt_id=uuid4())
    other = await message_to(database_tenant, Channel.PUSH, {"token": "throttle"})
    for message in (phone, tablet, other):
        assert await sandbox_outcome(sandbox, message) is TemporaryError
        assert await sandbox_outcome(sandbox, message) is ProviderAcceptance


async def test_a_throttled_call_has_a_retry_after_of_one_second(
    database_tenant: DatabaseTenant, sandbox: Sandbox
) -> None:
    with pytest.raises(TemporaryError) as caught:
        await sandbox.send(await message_to(database_tenant, Channel.SMS, {"phone": "+447700900004"}))
    assert caught.value.retry_after == 1


async def test_the_sandbox_store_keeps_delivered_messages_with_their_recipient(
    database_tenant: DatabaseTenant, sandbox: Sandbox
) -> None:
    message = await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"})
    accepted = await sandbox.send(message)
    assert isinstance(accepted, ProviderAcceptance)
    [row] = await outbox(database_tenant, message)
    assert str(row["id"]) == accepted.message_id
    assert (row["tenant"], row["recipient_id"], row["channel"]) == (database_tenant.tenant, "ada", "email")
    assert (row["address"], row["content"]) == ({"email": "ada@example.com"}, message.content)


@pytest.mark.parametrize(("word", "times"), [("", 1), ("lost", 1), ("refuse", 0), ("error", 0), ("broken", 0)])
async def test_a_lookup_finds_the_stored_message_of_an_attempt(
    database_tenant: DatabaseTenant, sandbox: Sandbox, word: str, times: int
) -> None:
    message = await message_to(database_tenant, Channel.EMAIL, {"email": f"ada+{word}@example.com"})
    await sandbox_outcome(sandbox, message)
    again = replace(message, attempt_id=uuid4())
    assert await sandbox.look_up(again, datetime.now(UTC)) == []
    assert [found.message_id for found in await sandbox.look_up(message, datetime.now(UTC))] == [
        str(row["id"]) for row in await outbox(database_tenant, message)
    ]
    assert len(await outbox(database_tenant, message)) == times


async def test_only_a_message_with_receipts_is_announced(database_tenant: DatabaseTenant, sandbox: Sandbox) -> None:
    silent = await message_to(database_tenant, Channel.EMAIL, {"email": "ada+silent@example.com"})
    reported = await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"})
    heard: list[object] = []
    connection = await database_tenant.database.dedicated()
    try:
        await connection.add_listener(SANDBOX_CHANNEL, lambda *announced: heard.append(announced))
        for message in (silent, silent, reported):
            await sandbox.send(replace(message, attempt_id=uuid4()))
        await connection.execute("SELECT 1")  # earlier notifications arrive with the result
    finally:
        await connection.close()
    assert len(heard) == 1


async def test_each_call_is_recorded_with_its_message(database_tenant: DatabaseTenant, sandbox: Sandbox) -> None:
    message = await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"})
    for _ in range(2):
        await sandbox.send(replace(message, attempt_id=uuid4()))
    calls = await database_tenant.query(
        "SELECT attempt_id FROM sandbox_call WHERE delivery_id = :id", id=message.delivery_id
    )
    assert {row["attempt_id"] for row in calls} == {row["attempt_id"] for row in await outbox(database_tenant, message)}
    assert len(calls) == 2


async def test_the_sandbox_store_of_another_tenant_has_no_message(
    database_tenant: DatabaseTenant, sandbox: Sandbox
) -> None:
    message = await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"})
    await sandbox.send(message)
    assert await sandbox.look_up(replace(message, tenant=uuid4()), datetime.now(UTC)) == []


def test_the_sandbox_supports_all_devices_and_channels_except_the_inbox() -> None:
    assert Sandbox.channels == set(Channel) - {Channel.IN_APP}
    assert Sandbox.device_kinds == set(DeviceKind)
