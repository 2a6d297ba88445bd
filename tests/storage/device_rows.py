"""Devices of a recipient in any number, also more than the API stores."""

import json
from collections.abc import Iterable
from uuid import UUID

from storage.devices import secret_owner_of
from storage.encryption import Encryption

# Each was registered a minute before the one in front of it. The one parameter is what `device_rows` returns.
REGISTER = """
INSERT INTO device (id, tenant, recipient_id, device, kind, address, created_at, updated_at)
SELECT gen_random_uuid(), tenant, recipient_id, device, 'fcm', address,
       now() - number * interval '1 minute', now() - number * interval '1 minute'
  FROM jsonb_to_recordset(CAST({rows} AS jsonb))
       given (tenant uuid, recipient_id text, device text, number integer, address jsonb)
"""


def device_rows(encryption: Encryption, tenant: UUID, recipient_id: str, tokens: Iterable[str]) -> str:
    """Return them as JSON, `device-1` first."""
    rows = []
    for number, token in enumerate(tokens, start=1):
        device = f"device-{number}"
        address = encryption.encrypt_members({"token": token}, secret_owner_of(tenant, recipient_id, device))
        row = {"tenant": str(tenant), "recipient_id": recipient_id, "device": device, "number": number}
        rows.append({**row, "address": address})
    return json.dumps(rows)
