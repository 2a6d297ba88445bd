"""Build the JSON payload of a push message to an Apple device. Used by `apns`.

https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification
"""

import json
from uuid import UUID

from domain.json_types import Json
from domain.push_content import fit_push_content

# Bytes.
PAYLOAD_LIMIT = 4_096


def build_payload(content: Json, notification_id: UUID) -> bytes | None:
    """Return the payload with the content shortened so that it fits, or None if that does not suffice."""
    fitting = fit_push_content(content, PAYLOAD_LIMIT, lambda each: len(encode(each, notification_id)))
    return None if fitting is None else encode(fitting, notification_id)


def encode(content: Json, notification_id: UUID) -> bytes:
    """Apps find `data` next to `aps`, and the values that Apple has no field for as `tocsin_…`."""
    own = {f"tocsin_{name}": content[name] for name in ("image", "link", "actions") if content.get(name)}
    payload = {**content.get("data", {}), **own, "tocsin_id": str(notification_id), "aps": build_aps(content)}
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def build_aps(content: Json) -> Json:
    """An image is loaded by the app's service extension, which `mutable-content` starts. The buttons of a message
    belong to a category that the app has registered: the names of its actions, joined by commas.
    """
    aps: Json = {"alert": {"title": content["title"], "body": content["body"]}}
    aps |= {name: content[name] for name in ("badge", "sound") if content.get(name) is not None}
    if content.get("image"):
        aps["mutable-content"] = 1
    if actions := content.get("actions"):
        aps["category"] = ",".join(action["action"] for action in actions)
    return aps
