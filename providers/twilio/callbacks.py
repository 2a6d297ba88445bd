"""Parse the body of a Twilio callback: a form, or JSON where the URL has its hash. Used by `twilio`."""

import json
from collections.abc import Sequence
from urllib.parse import parse_qs

from providers.base import read_form

# https://www.twilio.com/docs/usage/webhooks/webhooks-security#json-requests-with-body-hashes
BODY_HASH = "bodySHA256"


class CallbackFields(dict[str, str]):
    """Map a repeated field to its last value. `getall`, which the vendor's package reads, returns all values."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def getall(self, name: str) -> list[str]:
        return [value for each, value in self._pairs if each == name]


def has_body_hash(query: str) -> bool:
    """Return whether the signature covers a hash of the body instead of its fields."""
    return BODY_HASH in parse_qs(query)


def parse_fields(body: bytes, *, hashed: bool) -> CallbackFields:
    """Return the texts of a form or a JSON object, or no texts for anything else."""
    if not hashed:
        return CallbackFields(read_form(body))
    try:
        value = json.loads(body.decode(errors="replace"))
    except (ValueError, RecursionError):
        return CallbackFields(read_form(body))
    texts = [(name, each) for name, each in value.items() if isinstance(each, str)] if isinstance(value, dict) else []
    return CallbackFields(texts)
