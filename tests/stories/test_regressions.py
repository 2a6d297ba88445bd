"""Check end to end that former bugs stay fixed."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from temporalio.service import RPCError

from dispatch.temporal.connection import connect
from dispatch.temporal.store_monitor import StoreMonitor
from dispatch.workflow_starter import WorkflowStarter
from embedded.temporary_servers import temporary_temporal
from models.columns import new_id
from providers.sandbox import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from storage.claims import ClaimedNotification
from storage.erasures import BATCH_SIZE
from tests.api_tenants import ApiTenant
from tests.engine import later
from tests.polling import eventually
from tests.storage.databases import own_database

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

# 90,000 different words in less than 1 MiB: more than Postgres indexes of one text.
MANY_WORDS = "{% for i in range(90000) %}{{ i }}abcd {% endfor %}"


async def search(api_tenant: ApiTenant, text: str) -> list[str]:
    return [
        item["id"] for item in (await api_tenant.call("GET", f"/notifications?{urlencode({'text': text})}"))["items"]
    ]


async def test_a_text_with_too_many_words_for_the_search_is_delivered(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("note", ["in_app"])
    await api_tenant.put_type("novel", ["in_app"])
    await api_tenant.add_template("novel", "in_app", MANY_WORDS)
    await api_tenant.put_recipient("ada")
    novel, note = await api_tenant.send("novel"), await api_tenant.send("note", payload={"name": "Quokka"})
    for id in (note, novel):
        await api_tenant.wait_for_end(id, "SENT", "DELIVERED")
    inbox = (await api_tenant.call("GET", "/inbox?recipient_id=ada"))["items"]
    assert {message["notification_id"] for message in inbox} == {novel, note}
    assert await search(api_tenant, "quokka") == [note]
    assert await search(api_tenant, "89999abcd") == []


async def test_an_erasure_before_a_send_is_due_cancels_it(
    api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancel by the row alone: a signal can be too late for a workflow that becomes due."""

    async def drop_signal(*_: object) -> None:
        return None

    monkeypatch.setattr(WorkflowStarter, "signal_cancel", drop_signal)
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news", send_at=later(600))
    await api_tenant.engine.wait_for_start(id)
    await api_tenant.call("DELETE", "/recipients/ada")
    assert (await api_tenant.notification(id))["finished_at"] is None
    await api_tenant.make_due(id)
    notification = await api_tenant.wait_until_finished(id)
    assert (notification["status"], notification["failure_reason"]) == ("CANCELED", "canceled")
    assert await api_tenant.list_outbox() == []


INSERT_COPIES = """
INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
       holds_idempotency_key, created_at, finished_at, generation, revision)
SELECT gen_random_uuid(), tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
       false, created_at, finished_at, generation, revision
  FROM notification, generate_series(1, :copies) WHERE id = :id
"""


async def test_a_recipient_with_many_notifications_is_erased_in_the_background(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada@example.com")
    id = await api_tenant.send("news")
    await api_tenant.wait_until_finished(id)
    await api_tenant.engine.sql(INSERT_COPIES, id=id, copies=BATCH_SIZE)
    response = await api_tenant.call("DELETE", "/recipients/ada")

    async def read_erasure() -> Any:
        return await api_tenant.call("GET", f"/erasures/{response['erasure_id']}")

    erasure = await eventually(read_erasure, lambda found: found["finished_at"] is not None, 60)
    assert (erasure["counts"]["notifications"], erasure["counts"]["profiles"]) == (BATCH_SIZE + 1, 1)
    assert (await api_tenant.http.get("/recipients/ada")).status_code == 404


async def post_receipt(api_tenant: ApiTenant, **event: Any) -> int:
    """Post a receipt with the sandbox's signature, and return the status of the response."""
    receipt = {"event": "delivered", "at": datetime.now(UTC).isoformat(), **event}
    body, timestamp = json.dumps({"events": [receipt]}).encode(), str(int(time.time()))
    signature = sign(api_tenant.engine.container.settings.secret, timestamp, body)
    headers = {"Content-Type": "application/json", TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: signature}
    response: httpx2.Response = await api_tenant.http.post("/receipts/sandbox", content=body, headers=headers)
    return response.status_code


async def test_an_unstorable_receipt_does_not_block_the_others(api_tenant: ApiTenant) -> None:
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+silent@example.com")
    id = await api_tenant.send("news")
    [delivery] = (await api_tenant.wait_for_end(id, "SENT"))["deliveries"]
    message = delivery["provider_message_id"]
    assert await post_receipt(api_tenant, message_id=message, at="9999-12-31T23:59:59-12:00") == 400
    assert await post_receipt(api_tenant, message_id=message, at="0001-01-01T00:00:00+12:00") == 400
    assert await post_receipt(api_tenant, message_id=message, reason="a\0b", note={"a\0b": ["\0"]}) == 204
    await api_tenant.wait_for_status(id, "DELIVERED")
    assert await post_receipt(api_tenant, message_id=message, event="opened") == 204
    await api_tenant.wait_for_status(id, "OPENED")


async def test_an_unprepared_temporal_accepts_starts_after_one_poll(database_url: str, tmp_path: Path) -> None:
    """Start workflows at a server without search attributes, as after Temporal has lost its store."""
    claimed = ClaimedNotification(
        id=new_id(),
        tenant=new_id(),
        generation=1,
        notification_type="news",
        priority=3,
        send_at=None,
        expires_at=None,
        has_workflow=False,
        tenant_key="shop",
    )
    async with temporary_temporal(tmp_path) as temporal, own_database(database_url) as database:
        starter = WorkflowStarter(await connect(temporal.address, "default", lazy=True))

        async def attempt_start() -> str | None:
            try:
                await starter.start_or_resume(claimed)
            except RPCError as error:
                return error.status.name
            return None

        assert await attempt_start() == "INVALID_ARGUMENT"
        await StoreMonitor(database, starter).detect_namespace_reset()
        # The server caches search attributes for a moment.
        await eventually(attempt_start, lambda status: status is None)
