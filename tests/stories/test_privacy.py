"""Personal data stays in Postgres: nothing of a person is in Temporal's store or in our log, however a send ends."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import structlog
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from temporalio.client import WorkflowExecutionDescription

from activities import resolution
from config import Settings
from logs import configure_logging
from tests.engine import Engine, Shop, later, open_shop

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

CANARIES = {
    "e-mail": "canary-mail",
    "phone": "44770090",
    "name": "Canary-Name",
    "payload": "canary-payload",
    "token": "canary-token",
    "webhook": "canary-hook",
    "tag": "canary-tag",
}
CHANNELS = ("email", "sms", "push", "webhook", "in_app")
DIGITS = {"good": "0100", "refuse": "0001", "error": "0002", "open": "0009"}


@contextmanager
def product_log() -> Iterator[io.StringIO]:
    """What the processes of the product would print, as configured by bootstrap, down to the smallest detail."""
    root, printed, stdout = logging.getLogger(), io.StringIO(), sys.stdout
    handlers, level = root.handlers[:], root.level
    sys.stdout = printed
    try:
        configure_logging(Settings(env="dev", log_level="debug", _env_file=None))
    finally:
        sys.stdout = stdout
    try:
        yield printed
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


def found_in(text: str | bytes) -> set[str]:
    raw = text.encode() if isinstance(text, str) else text
    return {name for name, canary in CANARIES.items() if canary.encode().lower() in raw.lower()}


def written(message: Message) -> bytes:
    """Both ways: protobuf's bytes hold payloads as they are, JSON has the names of everything around them."""
    return message.SerializeToString() + MessageToJson(message).encode()


async def sent_in_every_way(shop: Shop) -> list[str]:
    """Every channel; delivered, refused, retrying and then cancelled, with a template error, expired, a bug of ours."""
    for channel in CHANNELS:
        await shop.type(f"by-{channel}", [channel], give_up_after="2s")
        await shop.template(f"bad-{channel}", channel, "{{ code | round }}{{ 1 // 0 }}")
        route = {"route": [{"channels": [channel]}], "templates": {channel: f"bad-{channel}"}}
        await shop.ok("PUT", f"/notification-types/bad-{channel}", route)
    for word in DIGITS:
        await _person(shop, word)
    kinds = [f"{how}-{channel}" for channel in CHANNELS for how in ("by", "bad")]
    content: dict[str, Any] = {
        "payload": {"name": CANARIES["name"], "code": CANARIES["payload"]},
        "tags": [CANARIES["tag"]],
    }
    asks = [shop.send(kind, f"p-{word}", **content) for kind in kinds for word in DIGITS]
    asks.append(shop.send("by-email", "p-good", send_at=later(-60), expires_in="1s", **content))
    return list(await asyncio.gather(*asks))


async def _person(shop: Shop, word: str) -> None:
    await shop.person(
        f"p-{word}",
        email=f"{CANARIES['e-mail']}+{word}@example.com",
        phone=f"+{CANARIES['phone']}{DIGITS[word]}",
        webhook_url=f"https://hooks.example.com/{CANARIES['webhook']}/{word}",
        attributes={"nickname": CANARIES["name"]},
        locale="en",
    )
    await shop.device(f"p-{word}", "phone", f"{CANARIES['token']}-{word}")


async def kept_by_temporal(engine: Engine, id: str) -> bytes:
    """History with its payloads, summaries and failures; search attributes, memo and current details."""
    history = await engine.history(id)
    description: WorkflowExecutionDescription = await engine.workflow(id).describe()
    details = await engine.workflow(id).query("__temporal_workflow_metadata")
    return b"".join(
        [
            *(written(event) for event in history.events),
            written(description.raw_description),
            str(details).encode(),
            history.to_json().encode(),
        ]
    )


@dataclass(frozen=True)
class Sent:
    ends: dict[str, dict[str, Any]]
    log: str


@pytest.fixture(scope="module")
async def sent(engine: Engine) -> Sent:
    async with open_shop(engine) as shop:
        with product_log() as log:
            ids = await sent_in_every_way(shop)
            ends = {id: await shop.finished(id) for id in ids}
            await shop.http.post("/notifications/send", json={"recipient": {"email": CANARIES["e-mail"]}})
            logging.getLogger("test").warning("the log is read")
        return Sent(ends, log.getvalue())


async def test_the_sends_went_every_way(sent: Sent) -> None:
    ends = sent.ends.values()
    assert {end["status"] for end in ends} >= {"FAILED", "EXPIRED"}
    assert {d["channel"] for end in ends for d in end["deliveries"] if d["sent_at"]} == set(CHANNELS)
    assert {reason for end in ends if (reason := end["failure_reason"])} >= {
        "email: refused_recipient",
        "sms: gave_up after 2 attempts: unavailable",
        "push: template_error: a value does not fit the operation, filter or function it is used with in body, line 1",
    }


async def test_nothing_of_a_person_is_in_temporal(engine: Engine, sent: Sent) -> None:
    kept = dict(zip(sent.ends, await asyncio.gather(*(kept_by_temporal(engine, id) for id in sent.ends)), strict=True))
    assert all(id.encode() in everything for id, everything in kept.items()), "the search is blind"
    assert {id: names for id, everything in kept.items() if (names := found_in(everything))} == {}


async def test_nothing_of_a_person_is_in_the_log(sent: Sent) -> None:
    assert json.loads(sent.log.splitlines()[-1])["event"] == "the log is read"
    assert found_in(sent.log) == set()


async def test_the_error_of_a_mistake_does_not_carry_what_it_quotes(
    engine: Engine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quoting(*_: object) -> None:
        raise ValueError(f"{CANARIES['e-mail']} is not what was expected")

    await shop.type("news", ["email"])
    await _person(shop, "good")
    monkeypatch.setattr(resolution, "read_audience", quoting)
    with product_log() as log:
        id = await shop.send("news", "p-good")
        await shop.finished(id)
        kept = await kept_by_temporal(engine, id)
    assert b"ValueError" in kept
    assert found_in(kept) == set()
    assert "ValueError" in log.getvalue()
    assert found_in(log.getvalue()) == set()
