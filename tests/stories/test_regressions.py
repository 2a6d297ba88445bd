"""What went wrong once, end to end, and must not again."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from temporalio.service import RPCError

from dispatch.connection import connect
from dispatch.starter import Starter
from dispatch.stores import StoreWatch
from embedded.temporary import temporary_temporal
from models.columns import new_id
from providers.sandbox import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from storage.claims import Claimed
from storage.large_erasures import BATCH_SIZE
from tests.engine import Shop, later
from tests.polling import eventually
from tests.storage.databases import own_database

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

# 90,000 different words in less than 1 MiB: more than Postgres keeps of one text for a search.
MANY_WORDS = "{% for i in range(90000) %}{{ i }}abcd {% endfor %}"


async def found(shop: Shop, word: str) -> list[str]:
    return [item["id"] for item in (await shop.ok("GET", f"/notifications?{urlencode({'text': word})}"))["items"]]


async def test_a_text_with_too_many_words_for_the_search_is_delivered(shop: Shop) -> None:
    await shop.type("note", ["in_app"])
    await shop.type("novel", ["in_app"])
    await shop.template("novel", "in_app", MANY_WORDS)
    await shop.person("ada")
    novel, note = await shop.send("novel"), await shop.send("note", payload={"name": "Quokka"})
    for id in (note, novel):
        await shop.ended(id, "SENT", "DELIVERED")
    inbox = (await shop.ok("GET", "/inbox?recipient_id=ada"))["items"]
    assert {message["notification_id"] for message in inbox} == {novel, note}
    assert await found(shop, "quokka") == [note]
    assert await found(shop, "89999abcd") == []


async def test_a_person_erased_before_the_send_is_due_ends_it_as_cancelled(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal may come too late for a workflow that is just waking: then the row alone must tell."""

    async def lost(*_: object) -> None:
        return None

    monkeypatch.setattr(Starter, "signal_cancel", lost)
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news", send_at=later(600))
    await shop.engine.started(id)
    await shop.ok("DELETE", "/recipients/ada")
    assert (await shop.shown(id))["finished_at"] is None
    await shop.due(id)
    shown = await shop.finished(id)
    assert (shown["status"], shown["failure_reason"]) == ("CANCELED", "canceled")
    assert await shop.outbox() == []


COPIED = """
INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
       idempotency_held, created_at, finished_at, generation, revision)
SELECT gen_random_uuid(), tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
       false, created_at, finished_at, generation, revision
  FROM notification, generate_series(1, :copies) WHERE id = :id
"""


async def test_a_recipient_with_many_notifications_is_erased_in_the_background(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada@example.com")
    id = await shop.send("news")
    await shop.finished(id)
    await shop.engine.sql(COPIED, id=id, copies=BATCH_SIZE)
    begun = await shop.ok("DELETE", "/recipients/ada")

    async def account() -> Any:
        return await shop.ok("GET", f"/erasures/{begun['erasure_id']}")

    erasure = await eventually(account, lambda shown: shown["finished_at"] is not None, 60)
    assert (erasure["counts"]["notifications"], erasure["counts"]["profiles"]) == (BATCH_SIZE + 1, 1)
    assert (await shop.http.get("/recipients/ada")).status_code == 404


async def report(shop: Shop, **event: Any) -> int:
    """The answer to a receipt of the sandbox, signed as the sandbox signs."""
    given = {"event": "delivered", "at": datetime.now(UTC).isoformat(), **event}
    body, timestamp = json.dumps({"events": [given]}).encode(), str(int(time.time()))
    signature = sign(shop.engine.parts.settings.secret, timestamp, body)
    headers = {"Content-Type": "application/json", TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: signature}
    answer: httpx2.Response = await shop.http.post("/receipts/sandbox", content=body, headers=headers)
    return answer.status_code


async def test_a_receipt_that_nobody_can_keep_does_not_hold_up_the_others(shop: Shop) -> None:
    await shop.type("news", ["email"])
    await shop.person("ada", email="ada+silent@example.com")
    id = await shop.send("news")
    [delivery] = (await shop.ended(id, "SENT"))["deliveries"]
    message = delivery["provider_message_id"]
    assert await report(shop, message_id=message, at="9999-12-31T23:59:59-12:00") == 400
    assert await report(shop, message_id=message, at="0001-01-01T00:00:00+12:00") == 400
    assert await report(shop, message_id=message, reason="a\0b", note={"a\0b": ["\0"]}) == 204
    await shop.until(id, "DELIVERED")
    assert await report(shop, message_id=message, event="opened") == 204
    await shop.until(id, "OPENED")


async def test_a_temporal_that_nobody_prepared_takes_starts_after_a_look(database_url: str, tmp_path: Path) -> None:
    """As after the loss of its store, while our processes run on."""
    due = Claimed(
        id=new_id(),
        tenant=new_id(),
        generation=1,
        notification_type="news",
        priority=3,
        send_at=None,
        expires_at=None,
        started=False,
        tenant_key="shop",
    )
    async with temporary_temporal(tmp_path) as temporal, own_database(database_url) as database:
        starter = Starter(await connect(temporal.address, "default", lazy=True))

        async def refused() -> str | None:
            try:
                await starter.begin(due)
            except RPCError as error:
                return error.status.name
            return None

        assert await refused() == "INVALID_ARGUMENT"
        await StoreWatch(database, starter).look()
        # The server keeps what it knows of search attributes for a moment.
        await eventually(refused, lambda status: status is None)
