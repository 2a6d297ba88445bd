"""Convert reasons to timeline events (the code as `reason`, its arguments in `detail`) and back."""

from typing import Any

from domain.json_types import Json
from domain.reasons import (
    ChannelReason,
    Reason,
    category_of,
    failure_line,
    failure_sentence,
    failures_from_json,
    failures_to_json,
    first_category,
    reason_line,
    reason_sentence,
)
from domain.records import TimelineEvent


def with_details(detail: Json | None, **more: Any) -> Json | None:
    """Return `detail` with the values of `more` that are not None."""
    return {**(detail or {}), **{name: value for name, value in more.items() if value is not None}} or None


def reason_fields(reason: Reason | None, detail: Json | None) -> Json:
    """Return the fields of an event."""
    if reason is None:
        return {"reason": None, "detail": detail}
    return {"reason": reason.code, "detail": with_details(detail, **reason.args, category=category_of(reason))}


def failure_fields(failures: tuple[ChannelReason, ...]) -> Json:
    """Return the fields of an event of the whole notification."""
    if len(failures) == 1 and failures[0].channel is None:
        return reason_fields(failures[0].reason, None)
    detail = with_details(None, failures=failures_to_json(failures) or None, category=first_category(failures))
    return {"reason": None, "detail": detail}


def reason_of(reason: str | None, detail: Json | None) -> Reason | None:
    return None if reason is None else Reason(reason, detail or {})


def line_of(reason: str | None, detail: Json | None) -> str | None:
    """Return the reason of an event as the API shows it."""
    if reason is None:
        return failure_line(failures_from_json((detail or {}).get("failures", ())))
    return reason_line(Reason(reason, detail or {}))


def sentence_of(event: TimelineEvent) -> str:
    """Return the reason of an event as `explain` shows it."""
    if event.reason is None and "failures" in (event.detail or {}):
        return failure_sentence(failures_from_json((event.detail or {})["failures"]))
    return reason_sentence(reason_of(event.reason, event.detail))
