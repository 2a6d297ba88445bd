"""Test chats: what each service gets, and the meaning of its responses."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from domain.chat_urls import ChatService
from domain.evidence import CallResult
from domain.outgoing_messages import OutgoingMessage
from domain.target_urls import TargetPolicy
from providers.chat.adapter import APIS, Chat
from providers.chat.discord import LIMIT, escape_discord
from providers.chat.text import text_of, truncate, utf16_length
from providers.network_guard import GuardedBackend, guarded_http_transport
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError, UnknownOutcome
from providers.transport import Transport, outgoing_client
from services.provider_calls import send_once
from testing.vendors.chat import telegram_error
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.outgoing_messages import outgoing_message
from tests.providers.harness import tools_with
from tests.providers.harness_chat import ChatBench, chat_url

SLACK, DISCORD, TEAMS, TELEGRAM = ChatService
HOSTILE = "<!channel> @here <@1> **bold** _it_ `code` [bank](https://evil.example) & <b>"


@pytest.fixture(params=list(ChatService))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[ChatBench]:
    async with ChatBench.running(request.param) as bench:
        yield bench


def message_with(bench: ChatBench, body: str, title: str = "") -> OutgoingMessage:
    return replace(bench.message_in_mode(VendorMode.GOOD), content={"title": title, "body": body})


async def sent(service: ChatService, body: str, title: str = "") -> Any:
    """Return the body of the request that shows this text."""
    async with ChatBench.running(service) as bench:
        assert isinstance(await bench.provider.send(message_with(bench, body, title)), ProviderAcceptance)
        [request] = bench.vendor.log.requests
        return request.json


# The contract, for every service.


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


# The text.


async def test_slack_shows_the_text_as_it_is() -> None:
    body = await sent(SLACK, HOSTILE, "Title")
    escaped = HOSTILE.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert body == {"text": f"Title\n{escaped}", "mrkdwn": False}


async def test_discord_shows_the_text_as_it_is_and_mentions_no_member() -> None:
    body = await sent(DISCORD, "# **A_b** <@1> @here [x](https://a.example/b_c?d=1_2) 1. > - |", "")
    assert body["content"] == (r"\# \*\*A\_b\*\* \<\@1\> \@here \[x\]\(https://a.example/b_c?d=1_2\) 1\. \> \- \|")
    assert body["allowed_mentions"] == {"parse": []}


async def test_teams_shows_runs_of_text_whose_links_lead_where_they_say() -> None:
    body = await sent(TEAMS, f"See https://a.example/b_c now\n\n{HOSTILE[:20]}", "Title")
    blocks = body["attachments"][0]["content"]["body"]
    assert [[run["text"] for run in block["inlines"]] for block in blocks] == [
        ["Title"],
        ["See ", "https://a.example/b_c", " now"],
        [HOSTILE[:20]],
    ]
    link = {"type": "Action.OpenUrl", "url": "https://a.example/b_c"}
    assert [run["selectAction"] for block in blocks for run in block["inlines"] if "selectAction" in run] == [link]


async def test_telegram_gets_plain_text_for_the_chat_and_its_thread() -> None:
    async with ChatBench.running(TELEGRAM) as bench:
        url = f"{chat_url(TELEGRAM)}&message_thread_id=7"
        await bench.provider.send(replace(message_with(bench, HOSTILE), address={"url": url}))
        [request] = bench.vendor.log.requests
    assert request.json == {"chat_id": "-1001", "message_thread_id": 7, "text": HOSTILE}


async def test_a_thread_of_discord_is_kept_in_the_query() -> None:
    async with ChatBench.running(DISCORD) as bench:
        url = f"{chat_url(DISCORD)}?thread_id=42"
        await bench.provider.send(replace(message_with(bench, "Hi"), address={"url": url}))
        [request] = bench.vendor.log.requests
    assert request.query == {"thread_id": "42", "wait": "true"}


@pytest.mark.parametrize("character", ["a", "*", "&", "ä", "😀", "https://a.example/ ", "\n.\n"])
async def test_a_text_that_is_too_long_is_truncated(bench: ChatBench, character: str) -> None:
    """The fake of each service refuses what its service would."""
    result = await bench.provider.send(message_with(bench, character * 50_000))
    assert isinstance(result, ProviderAcceptance)
    assert "…" in bench.vendor.log.requests[0].body.decode() or r"\u2026" in bench.vendor.log.requests[0].body.decode()


@pytest.mark.parametrize("excess", [0, 1])
def test_only_the_end_beyond_the_limit_is_cut(excess: int) -> None:
    text = "*" * (LIMIT // 2) + "a" * excess
    cut = truncate(text, LIMIT, lambda part: utf16_length(escape_discord(part)))
    assert cut == (text if not excess else "*" * (LIMIT // 2 - 1) + "…")


def test_a_cut_text_has_no_space_before_its_end() -> None:
    assert truncate("Ada   and Bob", 6, len) == "Ada…"


def test_a_message_is_its_title_and_its_body() -> None:
    assert text_of({"title": " Hi ", "body": "there\n"}) == "Hi\nthere"
    assert text_of({"title": "", "body": "there"}) == "there"
    assert text_of({"body": None}) == ""


async def test_the_ids_of_the_services_are_kept(bench: ChatBench) -> None:
    """Slack has none: the attempt's is used."""
    message = outgoing_message(bench.channel, address=bench.address(VendorMode.GOOD), content=dict(bench.content))
    result = await bench.provider.send(message)
    assert isinstance(result, ProviderAcceptance)
    assert (result.message_id == str(message.attempt_id)) is (bench.service is SLACK)
