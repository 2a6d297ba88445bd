"""Example responses of the key, tenant and audit operations, for `api/examples.py`."""

from api.schemas.keys import EXAMPLE_KEY
from domain.json_types import Json

CREATED_AT = "2026-11-22T19:19:50.395871Z"
KEY_ID = "01a204b3-5a10-7c51-9a3e-3f9b0c6f2d11"
PREVIOUS_KEY_ID = "019f1d2c-77aa-7d40-8a4e-1b0c9d2e3f40"

KEY: Json = {
    "id": KEY_ID,
    "name": "backend",
    "prefix": EXAMPLE_KEY[: len("tk_production_") + 6],
    "scopes": ["send", "read"],
    "status": "active",
    "created_at": CREATED_AT,
    "expires_at": "2027-02-20T19:19:50.395871Z",
    "last_used_at": None,
    "revoked_at": None,
    "replaces": None,
}
ROTATED: Json = KEY | {
    "key": EXAMPLE_KEY,
    "replaces": PREVIOUS_KEY_ID,
    "previous_expires_at": "2026-11-23T19:19:50.395871Z",
}
TENANT: Json = {
    "key": "acme",
    "name": "Acme Corporation",
    "default_language": "en",
    "installation": False,
    "email_domains": [],
    "created_at": CREATED_AT,
    "suspended_at": None,
    "suspension_reason": None,
}
SUSPENDED: Json = TENANT | {"suspended_at": "2026-11-25T08:00:00Z", "suspension_reason": "unpaid"}
AUDIT_ENTRY: Json = {
    "id": "01a204b3-5c31-7e02-b1aa-90c1d2e3f401",
    "at": CREATED_AT,
    "tenant": "acme",
    "actor": {"kind": "key", "id": KEY_ID, "name": "deployment"},
    "action": "notification_type.saved",
    "subject": "notification_type/order.shipped",
    "before": {"priority": 3},
    "after": {"priority": 2},
}


def _page(item: Json) -> Json:
    return {"items": [item], "next_cursor": None}


ACCESS_EXAMPLES: dict[str, Json] = {
    "list_keys": _page(KEY),
    "get_key": KEY,
    **dict.fromkeys(("create_key", "create_tenant_key"), KEY | {"key": EXAMPLE_KEY}),
    "rotate_key": ROTATED,
    "list_tenants": _page(TENANT),
    **dict.fromkeys(("get_tenant", "create_tenant", "resume_tenant"), TENANT),
    "suspend_tenant": SUSPENDED,
    "set_email_domains": TENANT | {"email_domains": ["acme.example", "mail.acme.example"]},
    "list_audit_entries": _page(AUDIT_ENTRY),
}
