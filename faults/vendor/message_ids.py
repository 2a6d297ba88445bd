"""Make undocumented message ids: in responses, in records that are looked up, and in receipts."""

import json
from dataclasses import replace
from typing import Any

from faults.vendor.modes import FaultyVendorMode
from tests.providers.harness_http import Reply

# Becomes a byte that is not UTF-8.
NOT_UTF8 = "\ue000"
ESCAPED = json.dumps(NOT_UTF8)[1:-1].encode()


def message_id(mode: FaultyVendorMode, plain: str) -> Any:
    """Return the id for the mode. Each message has another one."""
    match mode:
        case FaultyVendorMode.POISON_NUL:
            return f"\x00{plain}\x00"
        case FaultyVendorMode.POISON_LONG:
            return f"{plain}{'x' * 4_000}"
        case FaultyVendorMode.POISON_BYTES:
            return f"{NOT_UTF8}{plain}"
        case FaultyVendorMode.POISON_TYPE:
            return [plain, {"id": 2**70}, None]
        case _:
            return plain


def wire(reply: Reply) -> bytes:
    """Return the bytes of a reply, including one that is not valid text."""
    body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    bare = replace(reply, body=body.replace(ESCAPED, b"\xff"))
    return bare.wire.replace(NOT_UTF8.encode(), b"\xff")
