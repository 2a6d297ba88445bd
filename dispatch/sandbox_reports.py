"""The sandbox vendor's outgoing side: posts its receipts, signed, over HTTP like a real vendor would. In the API
process, in development."""

import json
import time

import httpx2

from dispatch.loops import Loop
from domain.evidence import ReceiptKind
from providers.sandbox import REASONS, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from storage import sandbox
from storage.database import Database
from storage.sandbox import DueReceipt

BATCH = 50
IDLE = 2.0


class SandboxReports:
    """`url` is where receipts of the sandbox are taken."""

    def __init__(self, database: Database, http: httpx2.AsyncClient, url: str, secret: bytes) -> None:
        self._database = database
        self._http = http
        self._url = url
        self._secret = secret
        self._loop = Loop("sandbox reports", self._post_due)

    def wake(self) -> None:
        self._loop.wake()

    async def run(self) -> None:
        await self._loop.run()

    async def _post_due(self) -> float:
        async with self._database.transaction() as session:
            due = await sandbox.claim_due_receipts(session, BATCH)
        if due:
            await self._post(due)
            async with self._database.transaction() as session:
                await sandbox.mark_posted(session, [receipt.id for receipt in due])
        async with self._database.transaction() as session:
            seconds = await sandbox.seconds_to_next(session)
        return IDLE if seconds is None else min(IDLE, seconds)

    async def _post(self, due: list[DueReceipt]) -> None:
        body = json.dumps({"events": [event(receipt) for receipt in due]}).encode()
        timestamp = str(int(time.time()))
        signature = sign(self._secret, timestamp, body)
        headers = {"content-type": "application/json", TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: signature}
        response = await self._http.post(self._url, content=body, headers=headers)
        response.raise_for_status()


def event(receipt: DueReceipt) -> dict[str, str]:
    reason = REASONS.get(ReceiptKind(receipt.kind))
    return ({"reason": reason} if reason else {}) | {
        "event": receipt.kind,
        "message_id": str(receipt.message_id),
        "reference": str(receipt.attempt_id),
        "at": receipt.at.isoformat(),
    }
