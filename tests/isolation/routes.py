"""Declare for each operation where ids stand in its request and which resource they belong to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.isolation.resource_types import TEMPLATE_VARIANT, ResourceType

PROVIDER, CHANNEL = "sandbox", "sms"


@dataclass(frozen=True, kw_only=True)
class RouteExample:
    """A request that is valid once each ResourceType in it is replaced by an id or name of the caller's own tenant.

    A string in `path` belongs to the installation. Query parameters and headers are omitted unless they are required or
    tested. `plain` are fields of this route that hold no id; those of all routes are in `PLAIN`.
    """

    path: Mapping[str, ResourceType | str] = field(default_factory=dict)
    query: Mapping[str, ResourceType] = field(default_factory=dict)
    headers: Mapping[str, ResourceType] = field(default_factory=dict)
    bodies: tuple[Any, ...] = (None,)
    plain: frozenset[str] = frozenset()


# Text fields that never hold an id.
PLAIN = frozenset(
    {
        *("action", "category", "cron", "cursor", "default_language", "description", "email", "events", "expires_in"),
        *(
            "failure_reason",
            "give_up_after",
            "language",
            "locale",
            "overlap",
            "chat_url",
            "phone",
            "phone_regions",
            "reason",
            "timezone",
            "url",
        ),
        *("webhook_url", "phone_regions", "per", "start", "end", "within", "window", "max_window", "schedule"),
        *("body_template", "subject_template", "text_template", "endpoint", "auth", "p256dh"),
        *("cc", "bcc", "headers", "email_domains", "to", "subject", "html"),
        *("image", "link", "title", "badge", "sound"),
    }
)
NAME = frozenset({"name"})
INLINE_TEXT = NAME | {"text"}

INLINE = {"recipient": {"recipient_id": ResourceType.RECIPIENT}}
ENTRY = {"recipient_id": ResourceType.RECIPIENT, "cancel_key": ResourceType.CANCEL_KEY, "tags": [ResourceType.TAG]}
SEND = {"notification_type": ResourceType.NOTIFICATION_TYPE, **ENTRY}
FILE = {"email": {"attachments": [ResourceType.ATTACHMENT]}}
SEND_FILE = SEND | FILE
SEND_INLINE = {"notification_type": ResourceType.NOTIFICATION_TYPE, **INLINE}
SEND_TO_SEVERAL = {"notification_type": ResourceType.NOTIFICATION_TYPE, "recipients": [ENTRY | FILE, INLINE]}
DRY_RUN = {"dry_run": True}
SEND_TO_TOPIC = {"notification_type": ResourceType.NOTIFICATION_TYPE, "topic": ResourceType.TOPIC}
SEARCH = {
    "notification_type": ResourceType.NOTIFICATION_TYPE,
    "recipient_id": ResourceType.RECIPIENT,
    "tag": ResourceType.TAG,
}
TIMES = {"notification_type": ResourceType.NOTIFICATION_TYPE, "cron": "0 9 * * mon", "timezone": "UTC"}
NEW_KEY = {"name": "new", "scopes": ["read"]}

RECIPIENT = RouteExample(path={"recipient_id": ResourceType.RECIPIENT})
PROFILE = RouteExample(path={"recipient_id": ResourceType.RECIPIENT}, bodies=({"email": "new@example.com"},))
PREFERENCES = RouteExample(path={"recipient_id": ResourceType.RECIPIENT}, bodies=({},))
DEVICE = {"recipient_id": ResourceType.RECIPIENT, "device": ResourceType.DEVICE}
SUBSCRIBER = RouteExample(path={"key": ResourceType.TOPIC, "recipient_id": ResourceType.RECIPIENT})
NOTIFICATION = RouteExample(path={"id": ResourceType.NOTIFICATION})
DIGEST = RouteExample(path={"id": ResourceType.DIGEST})
INBOX_MESSAGE = RouteExample(path={"id": ResourceType.INBOX_MESSAGE})
INBOX = RouteExample(query={"recipient_id": ResourceType.RECIPIENT})
SUPPRESSION = RouteExample(path={"id": ResourceType.SUPPRESSION})
SCHEDULE = RouteExample(path={"key": ResourceType.SCHEDULE})
TYPE = RouteExample(path={"key": ResourceType.NOTIFICATION_TYPE})
ENDPOINT = RouteExample(path={"key": ResourceType.EVENT_ENDPOINT})
KEY = RouteExample(path={"id": ResourceType.KEY})
TENANT = RouteExample(path={"key": ResourceType.TENANT})
OF_INSTALLATION = RouteExample(path={"name": PROVIDER})

ROUTES: Mapping[str, RouteExample] = {
    "send_notification": RouteExample(
        headers={"Idempotency-Key": ResourceType.IDEMPOTENCY_KEY},
        bodies=(SEND, SEND_FILE, SEND_INLINE, SEND_TO_SEVERAL, SEND_TO_TOPIC, SEND | DRY_RUN, SEND_INLINE | DRY_RUN),
        plain=INLINE_TEXT,
    ),
    "send_batch": RouteExample(
        headers={"Idempotency-Key": ResourceType.IDEMPOTENCY_KEY},
        bodies=({"items": [SEND | {"idempotency_key": ResourceType.IDEMPOTENCY_KEY}, SEND_INLINE, SEND_FILE]},),
        plain=INLINE_TEXT,
    ),
    "upload_attachment": RouteExample(
        query={"name": ResourceType.ATTACHMENT_NAME}, bodies=({"text": "Hello"},), plain=frozenset({"body"})
    ),
    "get_attachment": RouteExample(path={"id": ResourceType.ATTACHMENT}),
    "list_notifications": RouteExample(
        query=SEARCH
        | {"text": ResourceType.CONTENT, "digest": ResourceType.DIGEST, "cancel_key": ResourceType.CANCEL_KEY}
    ),
    "get_notification": NOTIFICATION,
    "cancel_notifications": RouteExample(
        bodies=({"cancel_key": ResourceType.CANCEL_KEY, "recipient_id": ResourceType.RECIPIENT},)
    ),
    "cancel_notification": NOTIFICATION,
    "report_event": RouteExample(
        path={"id": ResourceType.SENT_NOTIFICATION}, bodies=({"event": "opened", "channel": "sms"},)
    ),
    "receive_receipts": RouteExample(path={"provider": PROVIDER}),
    "explain_notification": NOTIFICATION,
    "redrive_notifications": RouteExample(bodies=({"filter": SEARCH},)),
    "redrive_notification": NOTIFICATION,
    "list_digests": RouteExample(
        query={"notification_type": ResourceType.NOTIFICATION_TYPE, "recipient_id": ResourceType.RECIPIENT}
    ),
    "get_digest": DIGEST,
    "flush_digest": DIGEST,
    "list_failures": RouteExample(query=SEARCH),
    "put_recipient": PROFILE,
    "get_recipient": RECIPIENT,
    "patch_recipient": PROFILE,
    "erase_recipient": RECIPIENT,
    "get_erasure": RouteExample(path={"id": ResourceType.ERASURE}),
    "put_device": RouteExample(path=DEVICE, bodies=({"kind": "fcm", "token": ResourceType.DEVICE_TOKEN},)),
    "delete_device": RouteExample(path=DEVICE),
    "get_preferences": RECIPIENT,
    "put_preferences": PREFERENCES,
    "patch_preferences": PREFERENCES,
    "list_suppressions": RouteExample(query={"address": ResourceType.ADDRESS}),
    "list_inbound_messages": RouteExample(query={"recipient_id": ResourceType.RECIPIENT}),
    "add_suppression": RouteExample(bodies=({"channel": "email", "address": ResourceType.ADDRESS},)),
    "get_suppression": SUPPRESSION,
    "lift_suppression": SUPPRESSION,
    "subscribe": SUBSCRIBER,
    "unsubscribe": SUBSCRIBER,
    "list_topics": RouteExample(),
    "list_subscribers": RouteExample(path={"key": ResourceType.TOPIC}),
    "put_schedule": RouteExample(
        path={"key": ResourceType.SCHEDULE},
        bodies=(
            TIMES | {"recipient_id": ResourceType.RECIPIENT, "tags": [ResourceType.TAG]},
            TIMES | {"recipients": [ResourceType.RECIPIENT]},
            TIMES | {"topic": ResourceType.TOPIC},
        ),
    ),
    "get_schedule": SCHEDULE,
    "delete_schedule": SCHEDULE,
    "list_schedules": RouteExample(),
    "pause_schedule": SCHEDULE,
    "resume_schedule": SCHEDULE,
    "trigger_schedule": SCHEDULE,
    "backfill_schedule": RouteExample(
        path={"key": ResourceType.SCHEDULE}, bodies=({"from": "2026-01-01T00:00:00Z", "to": "2026-01-31T00:00:00Z"},)
    ),
    "list_providers": RouteExample(),
    "patch_provider": RouteExample(path={"name": PROVIDER}, bodies=({},)),
    "list_pauses": RouteExample(),
    "pause_provider": OF_INSTALLATION,
    "resume_provider": OF_INSTALLATION,
    "pause_channel": RouteExample(path={"channel": CHANNEL}),
    "resume_channel": RouteExample(path={"channel": CHANNEL}),
    "pause_type": TYPE,
    "resume_type": TYPE,
    "put_notification_type": RouteExample(
        path={"key": ResourceType.NOTIFICATION_TYPE},
        bodies=(
            {
                "route": [{"channels": [CHANNEL]}],
                "templates": {CHANNEL: ResourceType.TEMPLATE},
                "chat": {"room": ResourceType.CHAT_ROOM},
            },
        ),
        plain=frozenset(
            {"key", "name"}
        ),  # that of the body equals that of the path; that of the digest is the name of a payload field
    ),
    "get_notification_type": TYPE,
    "delete_notification_type": TYPE,
    "list_notification_types": RouteExample(),
    "save_template": RouteExample(
        bodies=(TEMPLATE_VARIANT | {"name": ResourceType.TEMPLATE, "body_template": "Hi"},), plain=frozenset({"data"})
    ),
    "list_templates": RouteExample(query={"name": ResourceType.TEMPLATE}),
    "list_template_versions": RouteExample(path={"name": ResourceType.TEMPLATE}),
    "publish_template": RouteExample(path={"name": ResourceType.TEMPLATE}, bodies=(TEMPLATE_VARIANT | {"version": 1},)),
    "roll_back_template": RouteExample(path={"name": ResourceType.TEMPLATE}, bodies=(TEMPLATE_VARIANT,)),
    "preview_template": RouteExample(path={"name": ResourceType.TEMPLATE}, bodies=({"channel": CHANNEL},)),
    "list_inbox": INBOX,
    "mark_inbox_read": INBOX,
    "mark_message_read": INBOX_MESSAGE,
    "mark_message_seen": INBOX_MESSAGE,
    "archive_message": INBOX_MESSAGE,
    "list_outbox": RouteExample(query={"recipient_id": ResourceType.RECIPIENT}),
    "get_settings": RouteExample(),
    "patch_settings": RouteExample(bodies=({"record_days": 300},), plain=NAME),
    "get_webhook_secret": RouteExample(),
    "get_web_push_key": RouteExample(),
    "put_event_endpoint": RouteExample(
        path={"key": ResourceType.EVENT_ENDPOINT}, bodies=({"url": "https://example.com/"},)
    ),
    "get_event_endpoint": ENDPOINT,
    "delete_event_endpoint": ENDPOINT,
    "list_event_endpoints": RouteExample(),
    "rotate_event_secret": ENDPOINT,
    "test_event_endpoint": ENDPOINT,
    "replay_events": RouteExample(
        path={"key": ResourceType.EVENT_ENDPOINT}, bodies=({"message_id": ResourceType.EVENT_MESSAGE},)
    ),
    "list_event_attempts": ENDPOINT,
    "list_keys": RouteExample(),
    "create_key": RouteExample(bodies=(NEW_KEY,), plain=NAME),
    "get_key": KEY,
    "revoke_key": KEY,
    "rotate_key": KEY,
    "list_tenants": RouteExample(),
    "create_tenant": RouteExample(bodies=({"key": ResourceType.NEW_TENANT},), plain=NAME),
    "get_tenant": TENANT,
    "create_tenant_key": RouteExample(path={"key": ResourceType.TENANT}, bodies=(NEW_KEY,), plain=NAME),
    "suspend_tenant": TENANT,
    "resume_tenant": TENANT,
    "set_email_domains": RouteExample(path={"key": ResourceType.TENANT}, bodies=({"email_domains": ["acme.example"]},)),
    "list_audit_entries": RouteExample(
        query={"subject": ResourceType.AUDIT_SUBJECT, "actor_id": ResourceType.KEY, "tenant": ResourceType.TENANT},
    ),
}
