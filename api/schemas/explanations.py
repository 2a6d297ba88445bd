"""Models of the explanation of a notification."""

from api.schemas.base import Id, Model, Timestamp
from api.schemas.notifications import TemporalUrl, WaitsFor, WaitsUntil
from domain.json_types import Json

ACCEPTED_AT, SENT_AT, DELIVERED_AT = (f"2026-11-22T19:19:50.{part}Z" for part in ("395871", "543557", "741990"))
EXAMPLE: Json = {
    "id": "01a204b3-517b-775f-a945-f7baadeb5e0b",
    "summary": "DELIVERED, by email.",
    "waits_for": None,
    "waits_until": None,
    "lines": [
        {"at": ACCEPTED_AT, "text": "Accepted as welcome (version 1 of the type), priority 3."},
        {"at": ACCEPTED_AT, "text": "sms is not used: the recipient has turned it off."},
        {
            "at": ACCEPTED_AT,
            "text": "email is used: the type is on by default. Rendered from welcome, version 1, in en.",
        },
        {"at": ACCEPTED_AT, "text": "email, attempt 1: sandbox was asked to send it."},
        {"at": SENT_AT, "text": "email, attempt 1: sandbox accepted it."},
        {"at": SENT_AT, "text": "No step waits any more."},
        {
            "at": DELIVERED_AT,
            "text": "email: sandbox reports that it was delivered. With that the notification is DELIVERED.",
        },
        {"at": None, "text": "push (step 2): its turn never came."},
    ],
    "temporal_url": None,
}


class ExplanationLine(Model):
    """`at` is null for a line without a moment: something that did not happen, or a current wait."""

    at: Timestamp | None
    text: str


class Explanation(Model):
    """Built from the recorded events. The text is for people and may change; programs should read the timeline of the
    notification."""

    id: Id
    summary: str
    waits_for: WaitsFor
    waits_until: WaitsUntil
    lines: list[ExplanationLine]
    temporal_url: TemporalUrl
