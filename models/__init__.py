"""All tables; importing this package fills `SQLModel.metadata` (migrations and tests rely on it)."""

from models.attachments import AttachmentChunk, AttachmentFile, AttachmentUse
from models.audit import AuditEntry
from models.batch_passes import PrunedCount, Reconsideration, RetentionPass
from models.digests import Digest, Tick
from models.engine_state import EngineState
from models.erasures import Erasure
from models.event_webhooks import EventEndpoint, EventMessage
from models.holds import Hold
from models.inbound_messages import InboundMessageRow
from models.inbox import InboxMessage
from models.multi_sends import MultiSend
from models.notification_types import NotificationTypeVersion
from models.notifications import Attempt, Delivery, Event, Notification
from models.processes import Lease, Process
from models.provider_health import ProviderHealth, ProviderLimit
from models.queue import QueueEntry
from models.receipts import Receipt
from models.recipients import Device, Recipient, TopicSubscriber, UserPreference
from models.sandbox import SandboxCall, SandboxMessage, SandboxReceipt
from models.schedules import Schedule, ScheduleOccurrence, SchedulePlan, ScheduleRun
from models.suppressions import Suppression
from models.templates import Template, TemplatePublication
from models.tenants import ApiKey, ChatRoom, Tenant
from models.throttles import ThrottleQueueEntry, ThrottleWindow

__all__ = [
    "ApiKey",
    "AttachmentChunk",
    "AttachmentFile",
    "AttachmentUse",
    "Attempt",
    "AuditEntry",
    "ChatRoom",
    "Delivery",
    "Device",
    "Digest",
    "EngineState",
    "Erasure",
    "Event",
    "EventEndpoint",
    "EventMessage",
    "Hold",
    "InboundMessageRow",
    "InboxMessage",
    "Lease",
    "MultiSend",
    "Notification",
    "NotificationTypeVersion",
    "Process",
    "ProviderHealth",
    "ProviderLimit",
    "PrunedCount",
    "QueueEntry",
    "Receipt",
    "Recipient",
    "Reconsideration",
    "RetentionPass",
    "SandboxCall",
    "SandboxMessage",
    "SandboxReceipt",
    "Schedule",
    "ScheduleOccurrence",
    "SchedulePlan",
    "ScheduleRun",
    "Suppression",
    "Template",
    "TemplatePublication",
    "Tenant",
    "ThrottleQueueEntry",
    "ThrottleWindow",
    "Tick",
    "TopicSubscriber",
    "UserPreference",
]
