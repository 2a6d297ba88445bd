"""Verify the signature of Mailgun's webhooks. Used by `adapter`."""

import hashlib
import hmac
import time
from typing import Any

from providers.base import ForgedReceipt

# Seconds. https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-retries: Mailgun repeats a
# callback for eight hours. It documents no new signature for a repeat.
REPEAT_PERIOD = 8 * 3600
# A time further in the future comes from a wrong clock.
CLOCK_TOLERANCE = 300


def verify_callback(callback: Any, key: bytes) -> str:
    """Return the token of a genuine callback. Raises ForgedReceipt.

    https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks: the signature covers a time
    and a random token, not the event. Who copies a callback could sign another event with it, so a receipt has the
    token, and the database stores one receipt for each token, for all API processes. What remains: a repeat of the
    same event changes nothing, and an intercepted callback that never arrived is good for one event. For a subaccount
    `parent-signature` is that of the account.
    """
    signature = callback.get("signature") if isinstance(callback, dict) else None
    fields = signature if isinstance(signature, dict) else {}
    timestamp, token = str(fields.get("timestamp")), fields.get("token")
    if not isinstance(token, str) or not token:
        raise ForgedReceipt("the signature is missing")
    expected = hmac.new(key, f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    given = (str(fields.get(name)).encode() for name in ("signature", "parent-signature"))
    if not any(hmac.compare_digest(expected.encode(), each) for each in given):
        raise ForgedReceipt("the signature does not match")
    if not (timestamp.isascii() and timestamp.isdigit()):
        raise ForgedReceipt("the timestamp is not a number")
    if not -CLOCK_TOLERANCE <= time.time() - int(timestamp[:12]) <= REPEAT_PERIOD:
        raise ForgedReceipt("the timestamp is older than eight hours, or more than five minutes in the future")
    return token
