"""How an event of the timeline keeps a reason: the code as `reason`, its arguments in `detail`; and back."""

from typing import Any

from domain.reasons import (
    ChannelReason,
    Reason,
    category_of,
    first_category,
    from_json,
    line,
    lines,
    sentence,
    sentences,
    to_json,
)
from domain.records import Event, Json


def detailed(detail: Json | None, **more: Any) -> Json | None:
    """Add what is known of `more`."""
    return {**(detail or {}), **{name: value for name, value in more.items() if value is not None}} or None


def of_reason(reason: Reason | None, detail: Json | None) -> Json:
    """Return the fields of an event."""
    if reason is None:
        return {"reason": None, "detail": detail}
    return {"reason": reason.code, "detail": detailed(detail, **reason.args, category=category_of(reason))}


def of_failures(failures: tuple[ChannelReason, ...]) -> Json:
    """Return the fields of an event of the whole notification."""
    if len(failures) == 1 and failures[0].channel is None:
        return of_reason(failures[0].reason, None)
    detail = detailed(None, failures=to_json(failures) or None, category=first_category(failures))
    return {"reason": None, "detail": detail}


def reason_of(reason: str | None, detail: Json | None) -> Reason | None:
    return None if reason is None else Reason(reason, detail or {})


def line_of(reason: str | None, detail: Json | None) -> str | None:
    """Return the reason of an event as the API shows it."""
    if reason is None:
        return lines(from_json((detail or {}).get("failures", ())))
    return line(Reason(reason, detail or {}))


def sentence_of(event: Event) -> str:
    """Return the reason of an event as `explain` says it."""
    if event.reason is None and "failures" in (event.detail or {}):
        return sentences(from_json((event.detail or {})["failures"]))
    return sentence(reason_of(event.reason, event.detail))
