from api.authenticated_route import BODY_LIMIT
from domain.channels import Channel
from domain.digests import MAX_BYTES
from domain.json_types import JsonValue
from domain.stored_limits import MAX_ATTRIBUTE_BYTES
from rendering import wire
from rendering.messages import TemplateSource

# Three bytes in UTF-8, six as an escape.
WIDE = "\u20ac"
OTHER_FIELDS = 16 * 1024


def wide(size: int) -> str:
    return WIDE * (size // len(WIDE.encode()))


def test_the_largest_template_payload_and_profile_fit_into_a_frame() -> None:
    """A payload of a type with a digest is passed twice: by itself and as the only item."""
    source = TemplateSource(subject=None, body=wide(BODY_LIMIT), text=None, channel=Channel.SMS)
    payload: JsonValue = {"text": wide(BODY_LIMIT)}
    recipient: JsonValue = {"attributes": {"text": wide(MAX_ATTRIBUTE_BYTES)}}
    alone = wire.job("render", source, {"payload": payload, "items": [payload], "recipient": recipient}, "en")
    digest = wire.job("render", source, {"items": [{"text": wide(MAX_BYTES)}], "recipient": recipient}, "en")
    assert max(len(alone), len(digest)) + OTHER_FIELDS < wire.FRAME_LIMIT
