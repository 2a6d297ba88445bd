"""Encode the requests to FCM: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages"""

import json
import re
from datetime import UTC, datetime, timedelta

from firebase_admin import messaging

from domain.json_types import Json
from domain.notification_types import URGENT_PRIORITY
from domain.outgoing_messages import OutgoingMessage
from domain.push_content import fit_push_content

# https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-lifespan
MAX_TTL = timedelta(weeks=4)
# https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type
MAX_BYTES = 4096
# https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#FcmOptions
NOT_IN_LABEL = re.compile(r"[^a-zA-Z0-9_.~%-]")
MAX_LABEL_LENGTH = 50


def encode_fitting(message: OutgoingMessage) -> Json | None:
    """Encode the request with as much of the content as FCM takes. Return None if its title alone is too long."""
    content = fit_push_content(message.content, MAX_BYTES, lambda content: _measure(message, content))
    return None if content is None else encode_message(message, content)


def encode_message(message: OutgoingMessage, content: Json) -> Json:
    """Encode the request. On the device, a second send of a delivery replaces the first (tag, collapse id).

    It has no `collapse_key`: FCM keeps messages of four keys for a device that is off, and drops those of others.
    """
    push = messaging.Message(
        notification=messaging.Notification(title=content["title"], body=content["body"], image=content.get("image")),
        data=_data(message, content),
        android=_android(message, content),
        apns=_apns(message, content),
        webpush=_webpush(message, content),
        fcm_options=messaging.FCMOptions(NOT_IN_LABEL.sub("_", message.notification_type)[:MAX_LABEL_LENGTH]),
    )
    # Not in the constructor, which warns: installation ids replace registration tokens, but apps still use the tokens.
    push.token = message.address["token"]
    return to_json(push)


def to_json(push: messaging.Message) -> Json:
    """Encode the message with the package's own encoder."""
    built: Json = json.loads(str(push))
    return built


def _measure(message: OutgoingMessage, content: Json) -> int:
    """Return the bytes of the request without its address, which is at least what FCM counts."""
    request = {name: value for name, value in encode_message(message, content).items() if name != "token"}
    return len(json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode())


def _data(message: OutgoingMessage, content: Json) -> dict[str, str]:
    """Return what the app receives: only texts."""
    ours = {"tocsin_id": str(message.notification_id), "attempt_id": str(message.attempt_id)}
    if "link" in content:
        ours["tocsin_link"] = content["link"]
    if "actions" in content:
        ours["tocsin_actions"] = json.dumps(content["actions"], ensure_ascii=False, separators=(",", ":"))
    return {**content.get("data", {}), **ours}


def _android(message: OutgoingMessage, content: Json) -> messaging.AndroidConfig:
    """Build the Android options. `high` wakes a sleeping device:
    https://firebase.google.com/docs/cloud-messaging/android-message-priority
    """
    return messaging.AndroidConfig(
        notification=messaging.AndroidNotification(
            tag=str(message.delivery_id), sound=content.get("sound"), notification_count=content.get("badge")
        ),
        priority="high" if message.priority <= URGENT_PRIORITY else "normal",
        ttl=_remaining_ttl(message),
    )


def _remaining_ttl(message: OutgoingMessage) -> timedelta | None:
    """Return how long the vendor may store the message; None means the vendor's default of four weeks."""
    if message.expires_at is None:
        return None
    return min(max(message.expires_at - datetime.now(UTC), timedelta()), MAX_TTL)


def _apns(message: OutgoingMessage, content: Json) -> messaging.APNSConfig:
    """Build the APNs options. A mutable message lets the app's extension show the image, and the
    app has registered the category of the buttons:
    https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
    """
    image, actions = content.get("image"), content.get("actions", ())
    expires = {"apns-expiration": str(int(message.expires_at.timestamp()))} if message.expires_at else {}
    priority = "10" if message.priority <= URGENT_PRIORITY else "5"
    aps = messaging.Aps(
        badge=content.get("badge"),
        sound=content.get("sound"),
        category=",".join(action["action"] for action in actions) or None,
        mutable_content=True if image else None,
    )
    return messaging.APNSConfig(
        headers={"apns-collapse-id": str(message.delivery_id), "apns-priority": priority, **expires},
        payload=messaging.APNSPayload(aps),
        fcm_options=messaging.APNSFCMOptions(image=image) if image else None,
    )


def _webpush(message: OutgoingMessage, content: Json) -> messaging.WebpushConfig:
    """Build the options of browsers (RFC 8030). FCM opens https links only; the app has every link in `data`."""
    ttl, link = _remaining_ttl(message), content.get("link", "")
    actions = [
        messaging.WebpushNotificationAction(each["action"], each["title"]) for each in content.get("actions", ())
    ]
    return messaging.WebpushConfig(
        headers={
            "Urgency": "high" if message.priority <= URGENT_PRIORITY else "normal",
            **({} if ttl is None else {"TTL": str(int(ttl.total_seconds()))}),
        },
        notification=messaging.WebpushNotification(tag=str(message.delivery_id), actions=actions or None),
        fcm_options=messaging.WebpushFCMOptions(link) if link.startswith("https://") else None,
    )
