"""Build the message that the service worker of the site (`web/tocsin-sw.js`) reads."""

import json

from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from domain.push_content import TOO_LARGE, fit_push_content
from providers.outcomes import ProviderRefusal
from providers.web_push.encryption import PLAINTEXT_LIMIT

# A browser has no setting for the sound of a notification.
FIELDS = ("title", "body", "image", "link", "actions", "badge", "data")


def build_payload(message: OutgoingMessage) -> bytes | ProviderRefusal:
    """Return the plaintext, truncated to what fits, or the refusal of a title that is too long."""
    own = {"delivery_id": str(message.delivery_id)}
    if message.report_url:
        own["report_url"] = message.report_url
    content = fit(message.content, own)
    return ProviderRefusal(reason=TOO_LARGE) if content is None else encode(content, own)


def fit(content: Json, own: Json) -> Json | None:
    return fit_push_content(content, PLAINTEXT_LIMIT, lambda fitted: len(encode(fitted, own)))


def encode(content: Json, own: Json) -> bytes:
    shown = {name: content[name] for name in FIELDS if name in content}
    return json.dumps({**own, **shown}, ensure_ascii=False, separators=(",", ":")).encode()
