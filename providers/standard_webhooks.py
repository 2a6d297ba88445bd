"""Sign outgoing webhooks according to Standard Webhooks.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import standardwebhooks


def sign_headers(webhook_id: str, body: str, secrets: Iterable[str]) -> dict[str, str]:
    """Return the signature headers.

    `webhook_id` stays the same when a message is retried. There is one signature per secret, so that a receiver may
    have the new or the old secret during a rotation.
    """
    now = datetime.now(UTC)
    return {
        "content-type": "application/json",
        "user-agent": "Tocsin",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(
            standardwebhooks.Webhook(secret).sign(webhook_id, now, body) for secret in secrets
        ),
    }
