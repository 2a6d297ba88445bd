"""Bodies of sends of the type `news`, and what is sent as raw bytes."""

from typing import Any

from httpx2 import Response

from tests.api_tenants import ApiTenant

SEND, BATCH = "/notifications/send", "/notifications/send-batch"
NEEDS_NAME = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
GOOD: dict[str, Any] = {"notification_type": "news", "recipient_id": "ada", "payload": {"name": "Ada"}}
JSON = {"Content-Type": "application/json"}
BAD_KEYS = ["k" * 256, "", "ключ", "a\x7fb", "a\tb"]


def changed_send(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (GOOD | changes).items() if value is not ...}


async def put_news(api_tenant: ApiTenant) -> None:
    """Put the type (email, then SMS) and a recipient."""
    template = {"body": "Hi {{ name }}", "subject_template": "Hi", "variables_schema": NEEDS_NAME}
    await api_tenant.put_type("news", ["email"], ["sms"], template=template, priority=4)
    await api_tenant.put_recipient(email="ada@example.com")


async def post_bytes(api_tenant: ApiTenant, content: bytes, **headers: str) -> Response:
    return await api_tenant.http.post(SEND, content=content, headers=JSON | headers)
