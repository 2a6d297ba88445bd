"""One notification in words."""

from api.schemas.base import Id, Model, Timestamp


class ExplanationLine(Model):
    """`at` is null for what has no moment: what did not happen, and what is waited for now."""

    at: Timestamp | None
    text: str


class Explanation(Model):
    """Made from what is recorded; the words are for people and may change, the timeline of the notification is for
    programs."""

    id: Id
    summary: str
    lines: list[ExplanationLine]
    temporal_url: str | None
