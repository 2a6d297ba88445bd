"""Test the text that each chat service shows: as it is, up to its limit, and in the thread of the URL."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from domain.chat_urls import ChatService
from domain.outgoing_messages import OutgoingMessage
from providers.chat.discord import LIMIT, escape_discord
from providers.chat.text import text_of, truncate, utf16_length
from providers.outcomes import ProviderAcceptance
from testing.vendors.modes import VendorMode
from tests.providers.harness_chat import DISCORD, SLACK, TEAMS, TELEGRAM, ChatBench, chat_url

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
