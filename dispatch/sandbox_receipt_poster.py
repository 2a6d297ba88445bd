"""Post the receipts of the sandbox vendor, signed, over HTTP like a real vendor. Runs in the API process, in
development.

One request carries many events, as with SendGrid: all that become due within a tenth of a second.
"""

import asyncio
import json
import time

import httpx2

from dispatch.background_loops import Loop
from domain.evidence import ReceiptKind
from providers.sandbox import RECEIPT_REASONS, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from storage import sandbox
from storage.database import Database
from storage.sandbox import DueReceipt

BATCH_SIZE = 100  # events per request
POLL_INTERVAL = 2.0
MIN_INTERVAL = 0.1  # minimum seconds between two polls


class SandboxReceiptPoster:
    """Post receipts to `url`, the route for receipts of the sandbox."""

    def __init__(self, database: Database, http: httpx2.AsyncClient, url: str, secret: bytes) -> None:
        self._database = database
        self._http = http
        self._url = url
        self._secret = secret
        self._loop = Loop("sandbox reports", self._post_due)
        self._next_poll = 0.0

    def wake(self) -> None:
        self._loop.wake()

    async def run(self) -> None:
        await self._loop.run()

    async def _post_due(self) -> float:
        await self._wait_for_interval()
        async with self._database.statement() as session:
            seconds = await sandbox.seconds_to_next(session)
        if seconds is None or seconds > 0:
            return POLL_INTERVAL if seconds is None else min(POLL_INTERVAL, seconds)
        async with self._database.statement() as session:
            due = await sandbox.claim_due_receipts(session, BATCH_SIZE)
        if due:
            await self._post(due)
            async with self._database.statement() as session:
                await sandbox.mark_posted(session, [receipt.id for receipt in due])
        return 0.0

    async def _wait_for_interval(self) -> None:
        await asyncio.sleep(self._next_poll - time.monotonic())
        self._next_poll = time.monotonic() + MIN_INTERVAL

    async def _post(self, due: list[DueReceipt]) -> None:
        body = json.dumps({"events": [event_of(receipt) for receipt in due]}).encode()
        timestamp = str(int(time.time()))
        signature = sign(self._secret, timestamp, body)
        headers = {"content-type": "application/json", TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: signature}
        response = await self._http.post(self._url, content=body, headers=headers)
        response.raise_for_status()


def event_of(receipt: DueReceipt) -> dict[str, str]:
    reason = RECEIPT_REASONS.get(ReceiptKind(receipt.kind))
    return ({"reason": reason} if reason else {}) | {
        "event": receipt.kind,
        "message_id": str(receipt.message_id),
        "reference": str(receipt.attempt_id),
        "at": receipt.at.isoformat(),
    }
