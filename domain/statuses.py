"""Define the statuses of notifications and deliveries, and the one table of transitions."""

from domain.stored_enums import StoredEnum


class NotificationStatus(StoredEnum):
    PENDING = "PENDING"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    OPENED = "OPENED"
    FAILED = "FAILED"
    SUPPRESSED = "SUPPRESSED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    DIGESTED = "DIGESTED"
    IN_DOUBT = "IN_DOUBT"


class DeliveryStatus(StoredEnum):
    PENDING = "PENDING"
    SENDING = "SENDING"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    OPENED = "OPENED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    IN_DOUBT = "IN_DOUBT"


N, D = NotificationStatus, DeliveryStatus

SENT_STATUSES = {N.SENT, N.DELIVERED, N.OPENED}

# A receipt may arrive after a notification failed, was canceled or expired: what reached the recipient is the truth.
# Only a bounce takes a status back, down to that of the other endpoints or channels. Back to PENDING only by a redrive,
# which starts a new generation. A receipt of an earlier generation may replace SUPPRESSED.
NOTIFICATION_TRANSITIONS: dict[NotificationStatus, set[NotificationStatus]] = {
    N.PENDING: set(N) - {N.PENDING},
    N.SENT: {N.DELIVERED, N.OPENED, N.FAILED, N.IN_DOUBT},
    N.DELIVERED: {N.SENT, N.OPENED, N.FAILED, N.IN_DOUBT},
    N.OPENED: set(),
    N.FAILED: {N.PENDING, *SENT_STATUSES},
    N.IN_DOUBT: {N.PENDING, N.FAILED, N.CANCELED, *SENT_STATUSES},
    N.CANCELED: {N.FAILED, *SENT_STATUSES},
    N.EXPIRED: {N.FAILED, *SENT_STATUSES},
    N.SUPPRESSED: {*SENT_STATUSES},
    N.DIGESTED: set(),
}

DELIVERY_TRANSITIONS: dict[DeliveryStatus, set[DeliveryStatus]] = {
    D.PENDING: set(D) - {D.PENDING},
    D.SENDING: set(D) - {D.PENDING, D.SENDING},
    D.SENT: {D.DELIVERED, D.OPENED, D.FAILED, D.IN_DOUBT},
    D.DELIVERED: {D.SENT, D.OPENED, D.FAILED, D.IN_DOUBT},
    D.OPENED: set(),
    D.FAILED: {D.SENT, D.DELIVERED, D.OPENED, D.IN_DOUBT},
    D.IN_DOUBT: {D.SENT, D.DELIVERED, D.OPENED, D.FAILED, D.CANCELED},
    D.CANCELED: {D.SENT, D.DELIVERED, D.OPENED, D.FAILED},
    D.EXPIRED: {D.SENT, D.DELIVERED, D.OPENED, D.FAILED},
    D.SKIPPED: set(),
}
