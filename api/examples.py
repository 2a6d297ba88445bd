"""Example responses of each operation for `/openapi.json`: a welcome email to Ada and an order notification to Mia."""

from api.access_examples import ACCESS_EXAMPLES
from api.schedule_examples import SCHEDULE_EXAMPLES
from api.schemas import devices, digests, explanations, failures, inbound_messages, settings
from domain.json_types import Json

ACCEPTED_AT = "2026-11-22T19:19:50.395871Z"
SENT_AT = "2026-11-22T19:19:50.543557Z"
DELIVERED_AT = "2026-11-22T19:19:50.741990Z"
NOTIFICATION_ID = "01a204b3-517b-775f-a945-f7baadeb5e0b"
ERASURE_ID = "01a204b3-53dc-7379-b3d3-e0e09452ab28"
MESSAGE_ID = "01a204b3-520b-737f-b969-7e0b16ef2a1d"
TEMPLATE_ID = "01a204b3-5118-775c-8fa6-4dbbf7c9bafd"
WORKFLOW_ID = f"notification-{NOTIFICATION_ID}-1"
EMAIL_CONTENT = {"subject": "Welcome, Ada", "html": "<p>Hello Ada.</p>", "text": "Hello Ada."}
CREATED_FIELDS = {"created_at": ACCEPTED_AT, "updated_at": ACCEPTED_AT}


def page(*items: Json) -> Json:
    return {"items": list(items), "next_cursor": None}


NO_WAIT_FIELDS: Json = dict.fromkeys(("waits_for", "waits_until"))
SENT: Json = {
    "id": NOTIFICATION_ID,
    "status": "PENDING",
    "notification_type": "welcome",
    "recipient_id": "ada",
    "priority": 3,
    "created_at": ACCEPTED_AT,
    "send_at": None,
    "expires_at": None,
}
NOTIFICATION_SUMMARY: Json = SENT | {
    "status": "DELIVERED",
    **dict.fromkeys(("failure_reason", "failure_category")),
    "failures": [],
    "tags": [],
    "cancel_key": None,
    "finished_at": SENT_AT,
    **NO_WAIT_FIELDS,
    "workflow_id": WORKFLOW_ID,
    "temporal_url": f"http://127.0.0.1:8233/namespaces/default/workflows/{WORKFLOW_ID}",
}
ATTACHMENT: Json = {
    "id": "01a204b3-5119-7a1c-8d50-0b6f3e1f7c42",
    "name": "invoice.pdf",
    "content_type": "application/pdf",
    "size": 48213,
    "sha256": "3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea",
    "created_at": ACCEPTED_AT,
    "expires_at": "2026-11-29T19:19:50.395871Z",
}
BATCH: Json = {
    "items": [
        {"index": 0, "status": 202, "id": NOTIFICATION_ID, "replayed": False, "errors": None},
        {
            "index": 1,
            "status": 422,
            "id": None,
            "replayed": False,
            "errors": [{"pointer": "/payload/name", "detail": "is required"}],
        },
    ]
}
ATTEMPT: Json = {
    "id": "2009982c-acb9-5029-a569-e9122e28279e",
    "endpoint_id": "email",
    "provider": "sandbox",
    "outcome": "accepted",
    **dict.fromkeys(("error_type", "reason", "receipt_reason", "category")),
    "started_at": ACCEPTED_AT,
    "finished_at": SENT_AT,
    "cost": "0",
    "provider_message_id": MESSAGE_ID,
    "provider_response": {"status": "queued"},
}
DELIVERY: Json = {
    "id": "15357eed-65ee-5784-a035-73a51275039d",
    "generation": 1,
    "channel": "email",
    "step": 1,
    "status": "DELIVERED",
    "rule": "type.default",
    "provider": "sandbox",
    "template_id": TEMPLATE_ID,
    "template_name": "welcome",
    "template_version": 1,
    "language": "en",
    "rendered_content": EMAIL_CONTENT,
    "sms": None,
    "provider_message_id": MESSAGE_ID,
    "provider_response": {"status": "queued"},
    **dict.fromkeys(("failure_reason", "failure_category")),
    **NO_WAIT_FIELDS,
    "created_at": ACCEPTED_AT,
    "sent_at": SENT_AT,
    "delivered_at": DELIVERED_AT,
    "opened_at": None,
    "clicked_at": None,
    "attempts": [ATTEMPT],
}


def timeline_entry(at: str, kind: str, status: str | None, detail: Json | None = None) -> Json:
    return {
        "at": at,
        "kind": kind,
        "channel": "email" if detail else None,
        "reason": None,
        "detail": detail,
        "status": status,
    }


TIMELINE: list[Json] = [
    timeline_entry(ACCEPTED_AT, "accepted", "PENDING"),
    timeline_entry(
        ACCEPTED_AT, "rendered", None, {"template": "welcome", "version": 1, "language": "en", "rule": "type.default"}
    ),
    timeline_entry(SENT_AT, "sent", "SENT", {"provider": "sandbox", "attempt": 1}),
    timeline_entry(DELIVERED_AT, "delivered", "DELIVERED", {"provider": "sandbox", "receipt": "delivered"}),
]
DEVICE: Json = {"device": "phone", "kind": "fcm", "locale": None, "token_ends": "a2Vu", **CREATED_FIELDS}
RECIPIENT: Json = {
    "recipient_id": "ada",
    "email": "ada@example.com",
    "phone": "+4917012345678",
    "locale": "de-AT",
    "timezone": "Europe/Vienna",
    "attributes": {"plan": "gold"},
    "webhook_url": None,
    "chat_service": "slack",
    "devices": [DEVICE],
    **CREATED_FIELDS,
}
PREFERENCES: Json = {
    "global_channel_opt_in": {"sms": False},
    "type_channel_preferences": {"MARKETING": {"email": False}},
    "quiet_hours": {"start": "22:00", "end": "07:00", "timezone": None, "days": None},
    "updated_at": ACCEPTED_AT,
}
TYPE: Json = {
    "key": "order.shipped",
    "category": "ORDERS",
    "description": "A parcel is on its way.",
    "required": False,
    "default": "on",
    "priority": 3,
    "route": [{"channels": ["push"]}, {"channels": ["sms"]}],
    "templates": {"push": "order-shipped", "sms": "order-shipped"},
    "template_policy": "pinned",
    "version": 1,
    "created_at": ACCEPTED_AT,
}
TEMPLATE: Json = {
    "id": TEMPLATE_ID,
    "name": "order-shipped",
    "channel": "sms",
    "language": "en",
    "version": 2,
    "published_version": 2,
    "subject_template": None,
    "body_template": "Order {{ order }} comes with {{ carrier }}.",
    "text_template": None,
    "push": None,
    "variables_schema": {
        "type": "object",
        "required": ["order"],
        "properties": {"order": {"type": "string"}, "carrier": {"type": "string"}},
    },
    **CREATED_FIELDS,
}
WARNING = "'carrier' is used but not required in the schema: a payload without it can fail"
INBOX_ITEM: Json = {
    "id": "01a204b3-5a10-7c11-9a2f-0d1e2f3a4b5c",
    "recipient_id": "ada",
    "notification_id": NOTIFICATION_ID,
    "content": {"title": "Welcome", "body": "Hello Ada."},
    "created_at": ACCEPTED_AT,
    "seen_at": DELIVERED_AT,
    "read_at": DELIVERED_AT,
    "archived_at": None,
}
OUTBOX_ITEM: Json = {
    "id": MESSAGE_ID,
    "channel": "email",
    "recipient_id": "ada",
    "notification_id": NOTIFICATION_ID,
    "address": {"email": "ada@example.com"},
    "content": EMAIL_CONTENT,
    "email": {"sender": None, "reply_to": None, "cc": ["bob@example.com"], "bcc": [], "headers": {}, "attachments": []},
    "accepted_at": SENT_AT,
}
SKIPPED = {"id": "01a204b3-5b77-7d0e-8d4b-61c8a1f3c9b2", "reason": "expired"}
COUNTS = {"profiles": 1, "devices": 1, "notifications": 3, "deliveries": 2, "canceled": 0}
CANCELED: Json = {"id": NOTIFICATION_ID, "status": "CANCELED", "channels": {"email": "stopped"}}
REDRIVEN_ONE: Json = {"matched": 1, "redriven": 1, "skipped": []}

# Operation id → example response body.
EXAMPLES: dict[str, Json] = {
    "send_notification": SENT,
    "send_batch": BATCH,
    "upload_attachment": ATTACHMENT,
    "get_attachment": ATTACHMENT,
    "list_notifications": page(NOTIFICATION_SUMMARY),
    "get_notification": NOTIFICATION_SUMMARY
    | {"event_payload": {"name": "Ada"}, "email": None, "digest": None, "deliveries": [DELIVERY], "timeline": TIMELINE},
    "cancel_notification": CANCELED,
    "cancel_notifications": {"items": [CANCELED], "more": False},
    "redrive_notifications": {"matched": 41, "redriven": 40, "skipped": [SKIPPED]},
    "redrive_notification": {"id": NOTIFICATION_ID, "status": "PENDING", "generation": 2, **REDRIVEN_ONE},
    "list_failures": page(failures.EXAMPLE),
    "explain_notification": explanations.EXAMPLE,
    **dict.fromkeys(("put_recipient", "get_recipient", "patch_recipient"), RECIPIENT),
    "erase_recipient": {"erasure_id": ERASURE_ID},
    "get_erasure": {"id": ERASURE_ID, "requested_at": ACCEPTED_AT, "finished_at": DELIVERED_AT, "counts": COUNTS},
    "put_device": DEVICE,
    **dict.fromkeys(("get_preferences", "put_preferences", "patch_preferences"), PREFERENCES),
    **dict.fromkeys(("put_notification_type", "get_notification_type"), TYPE),
    "list_notification_types": page(TYPE),
    "save_template": TEMPLATE | {"warnings": [WARNING]},
    **dict.fromkeys(("list_templates", "list_template_versions"), page(TEMPLATE)),
    **dict.fromkeys(("publish_template", "roll_back_template"), TEMPLATE),
    "preview_template": {
        **{"channel": "sms", "language": "en", "version": 2, "content": {"text": "Order A-1 comes with a carrier."}},
        "sms": {"encoding": "gsm7", "segments": 1},
    },
    "list_digests": page(digests.EXAMPLE),
    "get_digest": digests.EXAMPLE,
    "flush_digest": digests.FLUSHED_EXAMPLE,
    **dict.fromkeys(("get_settings", "patch_settings"), settings.EXAMPLE),
    "list_topics": page({"key": "reports", "subscribers": 42}),
    "list_subscribers": page({"recipient_id": "ada"}),
    "list_inbound_messages": page(inbound_messages.EXAMPLE),
    "list_inbox": page(INBOX_ITEM) | {"unread": 0},
    "mark_inbox_read": {"marked": 3},
    **dict.fromkeys(("mark_message_read", "mark_message_seen", "archive_message"), INBOX_ITEM),
    "list_outbox": page(OUTBOX_ITEM),
    "get_webhook_secret": {"secret": settings.WEBHOOK_EXAMPLE},
    "get_web_push_key": {"public_key": devices.PUBLIC_KEY},
    **SCHEDULE_EXAMPLES,
    **ACCESS_EXAMPLES,
}
