"""A notification in words, over HTTP: as JSON and as text, without addresses or content."""

import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.api.test_notifications import accepted, ready
from tests.engine import Engine, Shop, open_shop

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

SECRETS = ("ada@example.com", "+447700900123", "4711", "Your code")


@pytest.fixture(scope="module")
async def told(engine: Engine) -> AsyncIterator[tuple[Shop, str]]:
    """One that went out by e-mail, after an opt-out of SMS."""
    async with open_shop(engine) as shop:
        await shop.type("code", ["sms"], ["email"])
        await shop.template("code", "email", "Your code is {{ code }}")
        await shop.person("ada", email="ada@example.com", phone="+447700900123")
        await shop.ok("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"sms": False}})
        id = await shop.send("code", payload={"name": "Ada", "code": "4711"})
        await shop.ended(id, "DELIVERED")
        yield shop, id


LINES = [
    "Accepted as code (version 1 of the type), priority 3.",
    "sms is not used: the recipient has turned it off.",
    "email is used: the type is on by default. Rendered from code, version 2, in en.",
    "email, attempt 1: sandbox was asked to send it.",
    "email, attempt 1: sandbox accepted it.",
    "No step waits any more.",
    "email: sandbox reports that it was delivered. With that the notification is DELIVERED.",
]


async def test_as_json_it_has_its_lines_with_their_times(told: tuple[Shop, str]) -> None:
    shop, id = told
    answer = await shop.ok("GET", f"/notifications/{id}/explain")
    shown = await shop.shown(id)
    assert {**answer, "lines": []} == {
        "id": id,
        "summary": "DELIVERED, by email.",
        "waits_for": None,
        "waits_until": None,
        "lines": [],
        "temporal_url": shown["temporal_url"],
    }
    assert [line["text"] for line in answer["lines"]] == LINES
    times = [line["at"] for line in answer["lines"]]
    assert times == sorted(times)
    assert times[0] == shown["created_at"]


async def test_as_text_it_is_the_same_line_by_line(told: tuple[Shop, str]) -> None:
    shop, id = told
    response = await shop.http.get(f"/notifications/{id}/explain", headers={"Accept": "text/plain"})
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    summary, empty, *lines, gap, last = response.text.splitlines()
    assert (summary, empty, gap, last) == ("DELIVERED, by email.", "", "", id)
    assert [line.split("  ", 1)[1] for line in lines] == LINES


async def test_neither_names_an_address_or_quotes_a_message(told: tuple[Shop, str]) -> None:
    shop, id = told
    said = json.dumps(await shop.ok("GET", f"/notifications/{id}/explain"))
    assert [secret for secret in SECRETS if secret in said] == []


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/plain, application/json", "application/json"),
        ("text/html", "application/json"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("Text/Plain; charset=utf-8, */*;q=0.1", "text/plain; charset=utf-8"),
    ],
)
async def test_text_is_for_those_who_ask_for_it(told: tuple[Shop, str], accept: str, kind: str) -> None:
    shop, id = told
    response = await shop.http.get(f"/notifications/{id}/explain", headers={"Accept": accept})
    assert response.headers["content-type"] == kind


async def test_what_waits_says_for_what(api: httpx2.AsyncClient) -> None:
    await ready(api)
    [id] = await accepted(api, 1)
    answer = (await api.get(f"/notifications/{id}/explain")).json()
    assert answer["summary"] == "PENDING: it is on its way, or waits."
    assert [(line["at"] is None, line["text"]) for line in answer["lines"]][1:] == [
        (True, "sms (step 1): its turn has not come."),
        (True, "Now: it waits to be started."),
    ]
