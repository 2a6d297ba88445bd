"""Describe an entry of the timeline in a sentence. Used by `domain/explaining/explanations.py`."""

from collections.abc import Callable
from datetime import UTC, datetime

from domain.evidence import Reporter
from domain.explaining.histories import NotificationHistory
from domain.failure_reasons import code_text
from domain.json_types import Json
from domain.preferences import allowed_reason_text
from domain.reasons import SUPPRESSION_TEXTS
from domain.records import TimelineEvent
from domain.timeline import sentence_of

RECEIPT_TEXTS = {
    "delivered": "was delivered",
    "opened": "was opened",
    "clicked": "was opened and a link in it followed",
    "bounced": "was not delivered",
}
REPORTER_TEXTS: dict[str, str] = {
    Reporter.APPLICATION: "the application",
    Reporter.INBOX: "the inbox",
    Reporter.TRACKING: "Tocsin's own tracking",
}
SHORT_ID_LENGTH = 6  # characters of an id, enough to tell two apart
# The row of an attempt describes its outcome.
SHOWN_WITH_ATTEMPTS = ("attempt_refused", "attempt_not_accepted")


# Outcomes that are unknown although the provider answered.
SERVER_ERROR = "server_error"
ANSWERED_REASONS = {
    SERVER_ERROR: "answered with a server error",
    "malformed_response": "answered, but the answer cannot be read",
    "undocumented_success": "answered, but not with the success that it documents",
}


def event_sentence(event: TimelineEvent, history: NotificationHistory) -> str | None:
    """Return the sentence, or None if another line describes the event."""
    return SENTENCE_BUILDERS.get(event.kind, _status_sentence)(event, history)


def format_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def unknown_outcome_text(provider: object, reason: str | None) -> str:
    """Describe a call whose outcome is unknown."""
    if reason in ANSWERED_REASONS:
        return f"{provider} {ANSWERED_REASONS[reason]}; it may or may not have it"
    return f"no answer ({reason}); {provider} may or may not have it"


def _accepted(event: TimelineEvent, history: NotificationHistory) -> str:
    asked = f"Accepted as {history.notification_type} (version {history.type_version} of the type)"
    words = [asked, f"priority {history.priority}"]
    words += [f"for {', '.join(history.only)} alone, as the caller asked"] if history.only is not None else []
    words += [f"to be sent at {format_time(history.send_at)}"] if history.send_at is not None else []
    words += [f"expires at {format_time(history.expires_at)}"] if history.expires_at is not None else []
    return ", ".join(words) + "."


def _rendered(event: TimelineEvent, history: NotificationHistory) -> str:
    detail = event.detail or {}
    template = f"{detail.get('template')}, version {detail.get('version')}, in {detail.get('language')}"
    allowed = allowed_reason_text(detail.get("rule"), str(event.channel))
    room = f" It goes to the tenant's room {detail['room']}." if "room" in detail else ""
    return f"{event.channel} is used: {allowed}. Rendered from {template}{_segments_text(event, history)}.{room}"


def _segments_text(event: TimelineEvent, history: NotificationHistory) -> str:
    """Return the segments of an SMS, for as long as its content is stored."""
    sms = next((delivery.sms for delivery in history.deliveries if delivery.id == event.delivery_id), None)
    if sms is None:
        return ""
    return f": {sms.segments} segment{'' if sms.segments == 1 else 's'} in {sms.encoding}"


def _skipped(event: TimelineEvent, history: NotificationHistory) -> str:
    return f"{event.channel} is not used: {sentence_of(event)}."


def _unknown(event: TimelineEvent, history: NotificationHistory) -> str:
    detail = event.detail or {}
    outcome = unknown_outcome_text(detail.get("provider"), event.reason)
    return f"{event.channel}, attempt {detail.get('attempt')}: {outcome}."


def _held(event: TimelineEvent, history: NotificationHistory) -> str:
    return f"{event.channel} is held back: {sentence_of(event)}."


def _waiting(event: TimelineEvent, history: NotificationHistory) -> str:
    until = (event.detail or {}).get("until")
    return f"It waits{f' until {until}' if until else ''}: {sentence_of(event)}."


def _collected(event: TimelineEvent, history: NotificationHistory) -> str:
    return f"It is collected into a digest, which closes at {(event.detail or {}).get('closes_at')}."


def _digested(event: TimelineEvent, history: NotificationHistory) -> str:
    return f"It went into the digest {(event.detail or {}).get('notification_id')}."


def _delayed(event: TimelineEvent, history: NotificationHistory) -> str:
    why = f": {code_text(event.reason)}" if event.reason else ""
    return f"{event.channel}: {(event.detail or {}).get('provider')} has not handed it over yet and tries again{why}."


def _rerouted(event: TimelineEvent, history: NotificationHistory) -> str:
    return f"{event.channel} goes to another provider: {sentence_of(event)}."


def _devices_skipped(event: TimelineEvent, history: NotificationHistory) -> str:
    detail = event.detail or {}
    return (
        f"{event.channel} goes to the {detail.get('used')} devices that were registered last; "
        f"{detail.get('skipped')} others are skipped, since there are too many."
    )


def _device_skipped(event: TimelineEvent, history: NotificationHistory) -> str:
    device = str((event.detail or {}).get("device"))[-SHORT_ID_LENGTH:]
    return f"{event.channel} does not go to device {device}: {sentence_of(event)}."


def _calls_limited(event: TimelineEvent, history: NotificationHistory) -> str:
    devices, limit = ((event.detail or {}).get(name) for name in ("devices", "limit"))
    return f"The {devices} devices of {event.channel} are called at most {limit} at a time."


def _escalated(event: TimelineEvent, history: NotificationHistory) -> str:
    detail = event.detail or {}
    channels = ", ".join(detail.get("channels", ()))
    why = f"{channels}: {sentence_of(event)}" if channels else sentence_of(event)
    return f"Step {detail.get('step')} did not get far enough ({why}): the next one runs."


def _demoted(event: TimelineEvent, history: NotificationHistory) -> str:
    return "It is served at priority 3: as many of priority 1 and 2 as a tenant may have waiting were waiting."


def _suppressed_address(event: TimelineEvent, history: NotificationHistory) -> str:
    detail = event.detail or {}
    why = SUPPRESSION_TEXTS.get(str(event.reason), event.reason)
    return f"The address of {event.channel} is suppressed from now on: {why} ({detail.get('provider')} says so)."


def _redriven(event: TimelineEvent, history: NotificationHistory) -> str:
    detail = event.detail or {}
    forced = ", by force: it may have arrived before" if detail.get("forced") else ""
    return f"Redriven as generation {detail.get('generation')} with the API key {detail.get('key')}{forced}."


def _status_sentence(event: TimelineEvent, history: NotificationHistory) -> str | None:
    """Describe a change of status, or an event without its own function."""
    detail = event.detail or {}
    if event.kind in SHOWN_WITH_ATTEMPTS or (event.kind == "sent" and "attempt" in detail):
        return None
    status_text = f" With that the notification is {event.status}." if event.status is not None else ""
    if "receipt" in detail:
        outcome_text = RECEIPT_TEXTS.get(str(detail["receipt"]), str(detail["receipt"]))
        cause = detail.get("cause") or (event.reason if event.reason != "bounced" else None)
        why = f": {code_text(cause)}" if cause else ""
        return f"{event.channel}: {_reporter(detail)} reports that it {outcome_text}{why}.{status_text}"
    if event.delivery_status is not None:
        return f"{event.channel} ended {event.delivery_status}: {sentence_of(event)}.{status_text}"
    if event.status is not None:
        return f"The notification ended {event.status}{f': {why}' if (why := _reason_text(event)) else ''}."
    return " ".join(str(word) for word in (event.kind, event.channel, event.reason) if word) + "."


def _reporter(detail: Json) -> object:
    by = detail.get("reported_by")
    return REPORTER_TEXTS.get(by, by) if by is not None else detail.get("provider")


def _reason_text(event: TimelineEvent) -> str:
    return sentence_of(event) if event.reason or "failures" in (event.detail or {}) else ""


SentenceBuilder = Callable[[TimelineEvent, NotificationHistory], str | None]
SENTENCE_BUILDERS: dict[str, SentenceBuilder] = {
    "accepted": _accepted,
    "rendered": _rendered,
    "channel_skipped": _skipped,
    "attempt_unknown": _unknown,
    "held": _held,
    "waiting": _waiting,
    "collected": _collected,
    "digested": _digested,
    "delayed": _delayed,
    "rerouted": _rerouted,
    "devices_skipped": _devices_skipped,
    "device_skipped": _device_skipped,
    "calls_limited": _calls_limited,
    "escalated": _escalated,
    "demoted": _demoted,
    "suppressed_address": _suppressed_address,
    "redriven": _redriven,
}
