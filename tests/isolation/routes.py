"""The table: per operation, where ids stand in its request and what they belong to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.isolation.kinds import TEMPLATE_PLACE, Kind

PROVIDER, CHANNEL = "sandbox", "sms"


@dataclass(frozen=True, kw_only=True)
class Route:
    """A request that is valid once each Kind in it is replaced by an id or name of the caller's own tenant.

    A string in `path` belongs to the installation. Query parameters and headers are left out unless they are required
    or are what is tested. `plain` are fields of this route that hold no id; those of all routes are in `PLAIN`.
    """

    path: Mapping[str, Kind | str] = field(default_factory=dict)
    query: Mapping[str, Kind] = field(default_factory=dict)
    headers: Mapping[str, Kind] = field(default_factory=dict)
    bodies: tuple[Any, ...] = (None,)
    plain: frozenset[str] = frozenset()


# Fields of text that never hold an id.
PLAIN = frozenset(
    {
        *("action", "category", "cron", "cursor", "default_language", "description", "email", "events", "expires_in"),
        *(
            "failure_reason",
            "give_up_after",
            "language",
            "locale",
            "overlap",
            "phone",
            "phone_regions",
            "reason",
            "timezone",
            "url",
        ),
        *("webhook_url", "phone_regions", "per", "start", "end", "within", "window", "at_most", "schedule"),
        *("body_template", "subject_template", "text_template", "endpoint", "auth", "p256dh"),
    }
)
NAME = frozenset({"name"})

INLINE = {"recipient": {"recipient_id": Kind.RECIPIENT}}
ENTRY = {"recipient_id": Kind.RECIPIENT, "cancel_key": Kind.CANCEL_KEY, "tags": [Kind.TAG]}
SEND = {"notification_type": Kind.NOTIFICATION_TYPE, **ENTRY}
SEND_INLINE = {"notification_type": Kind.NOTIFICATION_TYPE, **INLINE}
SEND_TO_SEVERAL = {"notification_type": Kind.NOTIFICATION_TYPE, "recipients": [ENTRY, INLINE]}
DRY_RUN = {"dry_run": True}
SEND_TO_TOPIC = {"notification_type": Kind.NOTIFICATION_TYPE, "topic": Kind.TOPIC}
SEARCH = {"notification_type": Kind.NOTIFICATION_TYPE, "recipient_id": Kind.RECIPIENT, "tag": Kind.TAG}
TIMES = {"notification_type": Kind.NOTIFICATION_TYPE, "cron": "0 9 * * mon", "timezone": "UTC"}
NEW_KEY = {"name": "new", "scopes": ["read"]}

RECIPIENT = Route(path={"recipient_id": Kind.RECIPIENT})
PROFILE = Route(path={"recipient_id": Kind.RECIPIENT}, bodies=({"email": "new@example.com"},))
PREFERENCES = Route(path={"recipient_id": Kind.RECIPIENT}, bodies=({},))
DEVICE = {"recipient_id": Kind.RECIPIENT, "device": Kind.DEVICE}
SUBSCRIBER = Route(path={"key": Kind.TOPIC, "recipient_id": Kind.RECIPIENT})
NOTIFICATION = Route(path={"id": Kind.NOTIFICATION})
DIGEST = Route(path={"id": Kind.DIGEST})
INBOX_MESSAGE = Route(path={"id": Kind.INBOX_MESSAGE})
INBOX = Route(query={"recipient_id": Kind.RECIPIENT})
SUPPRESSION = Route(path={"id": Kind.SUPPRESSION})
SCHEDULE = Route(path={"key": Kind.SCHEDULE})
TYPE = Route(path={"key": Kind.NOTIFICATION_TYPE})
ENDPOINT = Route(path={"key": Kind.EVENT_ENDPOINT})
KEY = Route(path={"id": Kind.KEY})
TENANT = Route(path={"key": Kind.TENANT})
OF_INSTALLATION = Route(path={"name": PROVIDER})

ROUTES: Mapping[str, Route] = {
    "send_notification": Route(
        headers={"Idempotency-Key": Kind.IDEMPOTENCY_KEY},
        bodies=(SEND, SEND_INLINE, SEND_TO_SEVERAL, SEND_TO_TOPIC, SEND | DRY_RUN, SEND_INLINE | DRY_RUN),
    ),
    "send_batch": Route(
        headers={"Idempotency-Key": Kind.IDEMPOTENCY_KEY},
        bodies=({"items": [SEND | {"idempotency_key": Kind.IDEMPOTENCY_KEY}, SEND_INLINE]},),
    ),
    "list_notifications": Route(
        query=SEARCH | {"text": Kind.CONTENT, "digest": Kind.DIGEST, "cancel_key": Kind.CANCEL_KEY}
    ),
    "get_notification": NOTIFICATION,
    "cancel_notifications": Route(bodies=({"cancel_key": Kind.CANCEL_KEY, "recipient_id": Kind.RECIPIENT},)),
    "cancel_notification": NOTIFICATION,
    "report_event": Route(path={"id": Kind.SENT_NOTIFICATION}, bodies=({"event": "opened", "channel": "sms"},)),
    "take_receipts": Route(path={"provider": PROVIDER}),
    "explain_notification": NOTIFICATION,
    "redrive_notifications": Route(bodies=({"filter": SEARCH},)),
    "redrive_notification": NOTIFICATION,
    "list_digests": Route(query={"notification_type": Kind.NOTIFICATION_TYPE, "recipient_id": Kind.RECIPIENT}),
    "get_digest": DIGEST,
    "flush_digest": DIGEST,
    "list_failures": Route(query=SEARCH),
    "put_recipient": PROFILE,
    "get_recipient": RECIPIENT,
    "patch_recipient": PROFILE,
    "erase_recipient": RECIPIENT,
    "get_erasure": Route(path={"id": Kind.ERASURE}),
    "put_device": Route(path=DEVICE, bodies=({"kind": "fcm", "token": Kind.DEVICE_TOKEN},)),
    "delete_device": Route(path=DEVICE),
    "get_preferences": RECIPIENT,
    "put_preferences": PREFERENCES,
    "patch_preferences": PREFERENCES,
    "list_suppressions": Route(query={"address": Kind.ADDRESS}),
    "add_suppression": Route(bodies=({"channel": "email", "address": Kind.ADDRESS},)),
    "get_suppression": SUPPRESSION,
    "lift_suppression": SUPPRESSION,
    "subscribe": SUBSCRIBER,
    "unsubscribe": SUBSCRIBER,
    "list_topics": Route(),
    "list_subscribers": Route(path={"key": Kind.TOPIC}),
    "put_schedule": Route(
        path={"key": Kind.SCHEDULE},
        bodies=(
            TIMES | {"recipient_id": Kind.RECIPIENT, "tags": [Kind.TAG]},
            TIMES | {"recipients": [Kind.RECIPIENT]},
            TIMES | {"topic": Kind.TOPIC},
        ),
    ),
    "get_schedule": SCHEDULE,
    "delete_schedule": SCHEDULE,
    "list_schedules": Route(),
    "pause_schedule": SCHEDULE,
    "resume_schedule": SCHEDULE,
    "trigger_schedule": SCHEDULE,
    "backfill_schedule": Route(
        path={"key": Kind.SCHEDULE}, bodies=({"from": "2026-01-01T00:00:00Z", "to": "2026-01-31T00:00:00Z"},)
    ),
    "list_providers": Route(),
    "patch_provider": Route(path={"name": PROVIDER}, bodies=({},)),
    "list_pauses": Route(),
    "pause_provider": OF_INSTALLATION,
    "resume_provider": OF_INSTALLATION,
    "pause_channel": Route(path={"channel": CHANNEL}),
    "resume_channel": Route(path={"channel": CHANNEL}),
    "pause_type": TYPE,
    "resume_type": TYPE,
    "put_notification_type": Route(
        path={"key": Kind.NOTIFICATION_TYPE},
        bodies=({"route": [{"channels": [CHANNEL]}], "templates": {CHANNEL: Kind.TEMPLATE}},),
        plain=frozenset({"key"}),  # the body's is that of the path; the digest's is the name of a payload field
    ),
    "get_notification_type": TYPE,
    "delete_notification_type": TYPE,
    "list_notification_types": Route(),
    "save_template": Route(bodies=(TEMPLATE_PLACE | {"name": Kind.TEMPLATE, "body_template": "Hi"},)),
    "list_templates": Route(query={"name": Kind.TEMPLATE}),
    "list_template_versions": Route(path={"name": Kind.TEMPLATE}),
    "publish_template": Route(path={"name": Kind.TEMPLATE}, bodies=(TEMPLATE_PLACE | {"version": 1},)),
    "roll_back_template": Route(path={"name": Kind.TEMPLATE}, bodies=(TEMPLATE_PLACE,)),
    "preview_template": Route(path={"name": Kind.TEMPLATE}, bodies=({"channel": CHANNEL},)),
    "list_inbox": INBOX,
    "read_whole_inbox": INBOX,
    "read_message": INBOX_MESSAGE,
    "see_message": INBOX_MESSAGE,
    "archive_message": INBOX_MESSAGE,
    "list_outbox": Route(query={"recipient_id": Kind.RECIPIENT}),
    "get_settings": Route(),
    "patch_settings": Route(bodies=({"record_days": 300},)),
    "get_webhook_secret": Route(),
    "put_event_endpoint": Route(path={"key": Kind.EVENT_ENDPOINT}, bodies=({"url": "https://example.com/"},)),
    "get_event_endpoint": ENDPOINT,
    "delete_event_endpoint": ENDPOINT,
    "list_event_endpoints": Route(),
    "rotate_event_secret": ENDPOINT,
    "test_event_endpoint": ENDPOINT,
    "replay_events": Route(path={"key": Kind.EVENT_ENDPOINT}, bodies=({"message_id": Kind.EVENT_MESSAGE},)),
    "list_event_attempts": ENDPOINT,
    "list_keys": Route(),
    "create_key": Route(bodies=(NEW_KEY,), plain=NAME),
    "get_key": KEY,
    "revoke_key": KEY,
    "rotate_key": KEY,
    "list_tenants": Route(),
    "create_tenant": Route(bodies=({"key": Kind.NEW_TENANT},), plain=NAME),
    "get_tenant": TENANT,
    "create_tenant_key": Route(path={"key": Kind.TENANT}, bodies=(NEW_KEY,), plain=NAME),
    "suspend_tenant": TENANT,
    "resume_tenant": TENANT,
    "list_audit_entries": Route(
        query={"subject": Kind.AUDIT_SUBJECT, "actor_id": Kind.KEY, "tenant": Kind.TENANT},
    ),
}
