"""What an entry of the timeline says, as a sentence. Used by `domain/explanations.py`."""

from collections.abc import Callable
from datetime import UTC, datetime

from domain.evidence import Reporter
from domain.failure_reasons import text_of
from domain.preferences import allowed_by
from domain.reasons import WHY_LISTED
from domain.records import Event, Json
from domain.stories import Story
from domain.timeline import sentence_of

REPORTED = {
    "delivered": "was delivered",
    "opened": "was opened",
    "clicked": "was opened and a link in it followed",
    "bounced": "was not delivered",
}
REPORTERS: dict[str, str] = {
    Reporter.APPLICATION: "the application",
    Reporter.INBOX: "the inbox",
    Reporter.TRACKING: "Tocsin's own tracking",
}
SHORT = 6  # characters of an id, enough to tell two apart
# What a call came to is told from its own row, which knows how it ended.
TOLD_BY_CALLS = ("attempt_refused", "attempt_not_accepted")


# Outcomes that are unknown although the provider answered.
SERVER_ERROR = "server_error"
ANSWERED = {
    SERVER_ERROR: "answered with a server error",
    "malformed_answer": "answered, but the answer cannot be read",
    "undocumented_success": "answered, but not with the success that it documents",
}


def words_of(event: Event, story: Story) -> str | None:
    """None: somebody else tells it."""
    return TELLERS.get(event.kind, _ended)(event, story)


def moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def lost_words(provider: object, reason: str | None) -> str:
    """Return what became of a call whose outcome is unknown."""
    if reason in ANSWERED:
        return f"{provider} {ANSWERED[reason]}; it may or may not have it"
    return f"no answer ({reason}); {provider} may or may not have it"


def _accepted(event: Event, story: Story) -> str:
    asked = f"Accepted as {story.notification_type} (version {story.type_version} of the type)"
    words = [asked, f"priority {story.priority}"]
    words += [f"for {', '.join(story.only)} alone, as the caller asked"] if story.only is not None else []
    words += [f"to be sent at {moment(story.send_at)}"] if story.send_at is not None else []
    words += [f"expires at {moment(story.expires_at)}"] if story.expires_at is not None else []
    return ", ".join(words) + "."


def _rendered(event: Event, story: Story) -> str:
    detail = event.detail or {}
    template = f"{detail.get('template')}, version {detail.get('version')}, in {detail.get('language')}"
    return f"{event.channel} is used: {allowed_by(detail.get('rule'), str(event.channel))}. Rendered from {template}."


def _skipped(event: Event, story: Story) -> str:
    return f"{event.channel} is not used: {sentence_of(event)}."


def _unknown(event: Event, story: Story) -> str:
    detail = event.detail or {}
    return f"{event.channel}, attempt {detail.get('attempt')}: {lost_words(detail.get('provider'), event.reason)}."


def _held(event: Event, story: Story) -> str:
    return f"{event.channel} is held back: {sentence_of(event)}."


def _waiting(event: Event, story: Story) -> str:
    until = (event.detail or {}).get("until")
    return f"It waits{f' until {until}' if until else ''}: {sentence_of(event)}."


def _collected(event: Event, story: Story) -> str:
    return f"It is collected into a digest, which closes at {(event.detail or {}).get('closes_at')}."


def _digested(event: Event, story: Story) -> str:
    return f"It went into the digest {(event.detail or {}).get('notification_id')}."


def _rerouted(event: Event, story: Story) -> str:
    return f"{event.channel} goes to another provider: {sentence_of(event)}."


def _devices_skipped(event: Event, story: Story) -> str:
    detail = event.detail or {}
    return (
        f"{event.channel} goes to the {detail.get('used')} devices that were registered last; "
        f"{detail.get('skipped')} others are skipped, since there are too many."
    )


def _device_skipped(event: Event, story: Story) -> str:
    device = str((event.detail or {}).get("device"))[-SHORT:]
    return f"{event.channel} does not go to device {device}: {sentence_of(event)}."


def _calls_limited(event: Event, story: Story) -> str:
    devices, at_once = ((event.detail or {}).get(name) for name in ("devices", "at_once"))
    return f"The {devices} devices of {event.channel} are called at most {at_once} at a time."


def _escalated(event: Event, story: Story) -> str:
    detail = event.detail or {}
    channels = ", ".join(detail.get("channels", ()))
    why = f"{channels}: {sentence_of(event)}" if channels else sentence_of(event)
    return f"Step {detail.get('step')} did not get far enough ({why}): the next one runs."


def _demoted(event: Event, story: Story) -> str:
    return "It is served at priority 3: as many of priority 1 and 2 as a tenant may have waiting were waiting."


def _suppressed_address(event: Event, story: Story) -> str:
    detail = event.detail or {}
    why = WHY_LISTED.get(str(event.reason), event.reason)
    return f"The address of {event.channel} is suppressed from now on: {why} ({detail.get('provider')} says so)."


def _redriven(event: Event, story: Story) -> str:
    detail = event.detail or {}
    forced = ", by force: it may have arrived before" if detail.get("forced") else ""
    return f"Redriven as generation {detail.get('generation')} with the API key {detail.get('key')}{forced}."


def _ended(event: Event, story: Story) -> str | None:
    """A delivery or the notification came to something; also what has no teller of its own."""
    detail = event.detail or {}
    if event.kind in TOLD_BY_CALLS or (event.kind == "sent" and "attempt" in detail):
        return None
    so = f" With that the notification is {event.status}." if event.status is not None else ""
    if "receipt" in detail:
        said = REPORTED.get(str(detail["receipt"]), str(detail["receipt"]))
        cause = detail.get("cause") or (event.reason if event.reason != "bounced" else None)
        why = f": {text_of(cause)}" if cause else ""
        return f"{event.channel}: {_reporter(detail)} reports that it {said}{why}.{so}"
    if event.delivery_status is not None:
        return f"{event.channel} ended {event.delivery_status}: {sentence_of(event)}.{so}"
    if event.status is not None:
        return f"The notification ended {event.status}{f': {why}' if (why := _why(event)) else ''}."
    return " ".join(str(word) for word in (event.kind, event.channel, event.reason) if word) + "."


def _reporter(detail: Json) -> object:
    by = detail.get("reported_by")
    return REPORTERS.get(by, by) if by is not None else detail.get("provider")


def _why(event: Event) -> str:
    return sentence_of(event) if event.reason or "failures" in (event.detail or {}) else ""


Teller = Callable[[Event, Story], str | None]
TELLERS: dict[str, Teller] = {
    "accepted": _accepted,
    "rendered": _rendered,
    "channel_skipped": _skipped,
    "attempt_unknown": _unknown,
    "held": _held,
    "waiting": _waiting,
    "collected": _collected,
    "digested": _digested,
    "rerouted": _rerouted,
    "devices_skipped": _devices_skipped,
    "device_skipped": _device_skipped,
    "calls_limited": _calls_limited,
    "escalated": _escalated,
    "demoted": _demoted,
    "suppressed_address": _suppressed_address,
    "redriven": _redriven,
}
