"""Test chats: one request per attempt for every service, and the meaning of each response."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from domain.chat_urls import ChatService
from domain.evidence import CallResult
from domain.target_urls import TargetPolicy
from providers.chat.adapter import APIS, Chat
from providers.network_guard import GuardedBackend, guarded_http_transport
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError, UnknownOutcome
from providers.transport import Transport, outgoing_client
from services.provider_calls import send_once
from testing.vendors.chat import telegram_error
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.outgoing_messages import outgoing_message
from tests.providers.harness import tools_with
from tests.providers.harness_chat import DISCORD, SLACK, TEAMS, TELEGRAM, ChatBench


@pytest.fixture(params=list(ChatService))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[ChatBench]:
    async with ChatBench.running(request.param) as bench:
        yield bench


@pytest.mark.parametrize(
    ("mode", "result"),
    [
        (VendorMode.GOOD, CallResult.ACCEPTED),
        (VendorMode.FLOODS, CallResult.ACCEPTED),
        (VendorMode.REFUSES, CallResult.REFUSED),
        (VendorMode.THROTTLES, CallResult.NOT_ACCEPTED),
        (VendorMode.FAILS, CallResult.UNKNOWN),
        (VendorMode.RESETS, CallResult.UNKNOWN),
        (VendorMode.LOSES, CallResult.UNKNOWN),
        (VendorMode.HANGS, CallResult.UNKNOWN),
        (VendorMode.REDIRECTS, CallResult.PERMANENT),
    ],
)
async def test_every_outcome_is_one_request_and_quotes_no_url(
    bench: ChatBench, mode: VendorMode, result: CallResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Chat, "deadline", 0.5 if mode is VendorMode.HANGS else 60.0)
    message = bench.message_in_mode(mode)
    outcome = await send_once(bench.provider, message)
    assert outcome.result is result
    assert await bench.called(message) == 1
    assert not [part for part in re.split(r"\W", message.address["url"]) if part == mode and part in repr(outcome)]
    assert "://" not in repr(outcome)


@pytest.mark.parametrize(
    ("bench", "delay"), [(SLACK, 30), (DISCORD, 0.65), (TEAMS, 17), (TELEGRAM, 35)], indirect=["bench"]
)
async def test_a_throttled_chat_waits_as_long_as_its_service_asks(bench: ChatBench, delay: float) -> None:
    with pytest.raises(TemporaryError, match="throttled") as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.THROTTLES))
    assert caught.value.retry_after == delay


@pytest.mark.parametrize("absurd", [-1, True, "soon", None, {"seconds": 1}])
async def test_an_absurd_delay_is_ignored(absurd: object) -> None:
    for service, body in ((DISCORD, {"retry_after": absurd}), (TELEGRAM, {"parameters": {"retry_after": absurd}})):
        async with ChatBench.running(service) as bench:
            bench.vendor.reply = Reply(status=429, body=body)
            with pytest.raises(TemporaryError) as caught:
                await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
            assert caught.value.retry_after is None


async def test_an_endless_delay_is_limited_to_a_day() -> None:
    async with ChatBench.running(DISCORD) as bench:
        bench.vendor.reply = Reply(status=429, body={"retry_after": 10**400})
        with pytest.raises(TemporaryError) as caught:
            await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert caught.value.retry_after == 86_400


CHAT_ERRORS = [
    (SLACK, Reply(status=403, body=b"invalid_token"), "chat_not_found"),
    (SLACK, Reply(status=410, body=b"channel_is_archived"), "chat_not_found"),
    (SLACK, Reply(status=403, body=b"action_prohibited"), "refused_by_policy"),
    (SLACK, Reply(status=400, body=b"invalid_payload"), "bad_request"),
    (DISCORD, Reply(status=401, body={"code": 50027, "message": "Invalid Webhook Token"}), "chat_not_found"),
    (DISCORD, Reply(status=400, body={"code": 50006, "message": "Cannot send an empty message"}), "empty_message"),
    (DISCORD, Reply(status=400, body={"code": 200000, "message": "…"}), "content_blocked"),
    (DISCORD, Reply(status=404, body=b"<html>"), "chat_not_found"),
    (TEAMS, Reply(status=401, body={"error": {"code": "DirectApiAuthorizationRequired"}}), "chat_not_found"),
    (TEAMS, Reply(status=400, body={"error": {"code": "TriggerInputSchemaMismatch"}}), "bad_request"),
    (TEAMS, Reply(status=413), "too_large"),
    (TELEGRAM, telegram_error(401, "Unauthorized"), "chat_not_found"),
    (TELEGRAM, telegram_error(404, "Not Found"), "chat_not_found"),
    (TELEGRAM, telegram_error(400, "Bad Request: chat not found"), "chat_not_found"),
    (TELEGRAM, telegram_error(400, "Bad Request: canary"), "bad_request"),
]


@pytest.mark.parametrize(("service", "reply", "reason"), CHAT_ERRORS)
async def test_a_documented_error_refuses_this_chat_or_this_message(
    service: ChatService, reply: Reply, reason: str
) -> None:
    async with ChatBench.running(service) as bench:
        bench.vendor.reply = reply
        result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert (result.reason, result.is_gone) == (reason, False)
    assert "canary" not in repr(result)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_that_is_not_the_services_own_condemns_no_chat(bench: ChatBench, status: int) -> None:
    """For example of a proxy, or of a network in front of the service that blocks this address."""
    bench.vendor.reply = Reply(status=status, body=b"<html>Blocked</html>")
    with pytest.raises(PermanentError, match="credentials_refused"):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))


async def test_an_undocumented_client_error_is_the_accounts(bench: ChatBench) -> None:
    bench.vendor.reply = Reply(status=418)
    with pytest.raises(PermanentError, match="unexpected_answer"):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))


@pytest.mark.parametrize(
    ("service", "reply"),
    [
        (SLACK, Reply(status=200, body=b"<html>Welcome to the network</html>")),
        (SLACK, Reply(status=202, body=b"ok")),
        (DISCORD, Reply(status=204)),
        (TEAMS, Reply(status=200, body=b"ok")),
        (TELEGRAM, Reply(status=200, body={"ok": False})),
    ],
)
async def test_a_success_that_no_service_documents_is_unknown(service: ChatService, reply: Reply) -> None:
    async with ChatBench.running(service) as bench:
        bench.vendor.reply = reply
        with pytest.raises(UnknownOutcome, match="undocumented_success"):
            await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))


async def test_a_private_target_gets_no_request(bench: ChatBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a service could resolve to an internal address."""
    guard = GuardedBackend(TargetPolicy(ports=frozenset(), private=False), failure_delay=0)
    async with outgoing_client(guarded_http_transport(guard)) as client:
        monkeypatch.setenv("TOCSIN_CHAT_BASE_URL", bench.vendor.url)
        adapter = Chat.build(replace(tools_with(bench.transport), guarded_transport=Transport(client)))
        with pytest.raises(TemporaryError, match=r"^connect_failed$"):
            await adapter.send(bench.message_in_mode(VendorMode.GOOD))
    assert bench.vendor.log.requests == []


async def test_without_a_stand_in_the_url_is_called_as_it_is(bench: ChatBench) -> None:
    posted: list[str] = []

    class Recorder(Transport):
        async def post(self, url: str, **_: Any) -> Any:
            posted.append(url)
            raise TemporaryError("connect_failed")

    bench.transport = Recorder(None)  # type: ignore[arg-type]
    message = bench.message_in_mode(VendorMode.GOOD)
    with pytest.raises(TemporaryError):
        await bench.adapter(base_url="").send(message)
    assert posted == [APIS[bench.service].address_of(message.address["url"])]


async def test_the_ids_of_the_services_are_kept(bench: ChatBench) -> None:
    """Slack has none: the attempt's is used."""
    message = outgoing_message(bench.channel, address=bench.address(VendorMode.GOOD), content=dict(bench.content))
    result = await bench.provider.send(message)
    assert isinstance(result, ProviderAcceptance)
    assert (result.message_id == str(message.attempt_id)) is (bench.service is SLACK)
