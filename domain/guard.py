"""The last word before a provider is called, asked in the transaction that writes `submitting`: may it still go out?"""

from datetime import datetime

from domain.channels import Channel
from domain.notification_types import NotificationType
from domain.preferences import Preferences, decide
from domain.records import Ledger, Verdict
from domain.statuses import DeliveryStatus


def stop(
    ledger: Ledger, now: datetime, kind: NotificationType, channel: Channel, preferences: Preferences
) -> Verdict | None:
    """Why not, as the delivery's end; None lets it go."""
    if ledger.cancel_requested_at is not None:
        return Verdict(status=DeliveryStatus.CANCELED, reason="canceled")
    if ledger.expires_at is not None and ledger.expires_at <= now:
        return Verdict(status=DeliveryStatus.EXPIRED, reason="expired")
    decision = decide(kind, channel, preferences)
    if not decision.allowed:
        return Verdict(status=DeliveryStatus.SKIPPED, reason=f"opted_out ({decision.rule})")
    return None
