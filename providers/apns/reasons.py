"""Map the error reasons of APNs to reason codes, and read when a device token became inactive. Used by `apns`."""

from collections.abc import Mapping
from datetime import UTC, datetime

from domain.json_types import Json

# https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
REASONS: Mapping[str, str] = {
    # 400
    "BadCollapseId": "bad_request",
    # The token is wrong, or one of the other environment.
    "BadDeviceToken": "invalid_token",
    "BadExpirationDate": "bad_request",
    "BadMessageId": "bad_request",
    "BadPriority": "bad_request",
    "BadTopic": "sender_refused",
    "DeviceTokenNotForTopic": "sender_mismatch",
    "DuplicateHeaders": "bad_request",
    "IdleTimeout": "unavailable",
    "InvalidPushType": "bad_request",
    "MissingDeviceToken": "invalid_token",
    "MissingTopic": "sender_refused",
    "PayloadEmpty": "bad_request",
    "TopicDisallowed": "sender_refused",
    # 403
    "BadCertificate": "credentials_refused",
    "BadCertificateEnvironment": "credentials_refused",
    "BadEnvironmentKeyIdInToken": "credentials_refused",
    "ExpiredProviderToken": "token_expired",
    "Forbidden": "credentials_refused",
    "InvalidProviderToken": "credentials_refused",
    "MissingProviderToken": "credentials_refused",
    "UnrelatedKeyIdInToken": "credentials_refused",
    # 404, 405
    "BadPath": "unexpected_answer",
    "MethodNotAllowed": "unexpected_answer",
    # 410
    "ExpiredToken": "unregistered",
    "Unregistered": "unregistered",
    # 413
    "PayloadTooLarge": "too_large",
    # 429
    "TooManyProviderTokenUpdates": "throttled",
    # For this device; others are not affected.
    "TooManyRequests": "device_throttled",
    # 503: nothing was accepted. A 500 (InternalServerError) proves nothing.
    "ServiceUnavailable": "unavailable",
    "Shutdown": "unavailable",
}


def find_gone_since(error: Json) -> datetime | None:
    """Return the `timestamp` of a 410, in milliseconds: when APNs last confirmed that the token is inactive."""
    timestamp = error.get("timestamp")
    if not isinstance(timestamp, int) or not 0 < timestamp < 10**14:
        return None
    return datetime.fromtimestamp(timestamp / 1_000, UTC)
