"""Write and read the vendor log: every call and every accepted message, by attempt id.

It is a line of JSON each, written to disk at once, so that it survives every kill.
"""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.evidence import ReceiptKind
from domain.tracking import TraceSigner
from testing.vendors.chat import FakeChat
from testing.vendors.http import Request
from testing.vendors.log import VendorCall, VendorLog, VendorMessage
from testing.vendors.modes import VendorMode
from testing.vendors.receipts import VendorReceipt
from testing.vendors.web_push import FakeWebPush

Entry = dict[str, Any]
RECIPIENT = re.compile(r"recipient-\d+")


class DurableVendorLog(VendorLog):
    """Refer to messages by the attempt id. A chat knows none: its URL, which only one notification uses, contains the
    recipient.
    """

    def __init__(self, path: Path, secret: str) -> None:
        super().__init__()
        self._file = path.open("a", buffering=1)
        self._signer = TraceSigner(secret.encode())

    def call(self, name: str, call: VendorCall) -> None:
        if call.message is not None:
            self._write(kind="call", provider=name, reference=self._reference(name, call.message), mode=call.mode)

    def accepted(self, name: str, message: VendorMessage) -> None:
        id = ascii(message.message_id).strip("'")
        reference = self._reference(name, message)
        self._write(kind="kept", provider=name, reference=reference, message_id=id, to=message.to)

    def lookup(self, name: str, request: Request, mode: VendorMode) -> None:
        self._write(kind="lookup", provider=name, mode=mode)

    def receipt(self, receipt: VendorReceipt, status: int) -> None:
        """Log a posted receipt with the status of its response."""
        name = receipt.vendor.name
        reference = self._reference(name, receipt.message)
        self._write(kind="receipt", provider=name, reference=reference, event=receipt.event, status=status)

    def _reference(self, name: str, message: VendorMessage) -> str:
        if name == FakeWebPush.name:
            reported = self._signer.read(message.content["report_url"].rpartition("/")[2], ReceiptKind.DELIVERED)
            return "" if reported is None else str(reported.attempt_id)
        if name == FakeChat.name:
            found = RECIPIENT.search(message.to)
            return found[0] if found else ""
        return message.reference

    def _write(self, **entry: Any) -> None:
        self._file.write(json.dumps({"at": time.time(), **entry}) + "\n")


@dataclass
class VendorLogReader:
    """Hold the entries read so far. `refresh` reads new ones."""

    path: Path
    entries: list[Entry] = field(default_factory=list)
    _seen: int = 0

    def refresh(self) -> Sequence[Entry]:
        """Read new entries. An incomplete line is left for the next call."""
        with self.path.open("rb") as file:
            file.seek(self._seen)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._seen += len(whole + newline)
        self.entries += [json.loads(line) for line in whole.splitlines()]
        return self.entries

    def of(self, kind: str, provider: str | None = None) -> list[Entry]:
        return [
            entry
            for entry in self.refresh()
            if entry["kind"] == kind and (provider is None or entry["provider"] == provider)
        ]
