"""Explain a notification from what is recorded about it: what was decided, attempted and reported, and why.

Pure; `services/explaining.py` passes the rows. For operators: it names ids and facts, and no addresses or content.
"""

from collections.abc import Iterator
from datetime import datetime

from domain.evidence import AttemptState, Evidence
from domain.explaining.event_sentences import (
    SERVER_ERROR,
    SHORT_ID_LENGTH,
    event_sentence,
    format_time,
    unknown_outcome_text,
)
from domain.explaining.histories import AttemptHistory, DeliveryHistory, HistoryLine, NotificationHistory
from domain.failure_reasons import ReasonCategory, category_of_code
from domain.holds import ActivePause
from domain.notification_overview import ARRIVED_STATUSES
from domain.reasons import REFUSED_OBJECTS, failure_sentence, reason_sentence
from domain.records import TimelineEvent
from domain.statuses import DeliveryStatus, NotificationStatus

STATUS_MEANINGS: dict[NotificationStatus, str] = {
    NotificationStatus.PENDING: "it is on its way, or waits",
    NotificationStatus.FAILED: "it reached the recipient by no channel",
    NotificationStatus.SUPPRESSED: "the recipient does not want it, or it may not be sent",
    NotificationStatus.CANCELED: "it was canceled",
    NotificationStatus.EXPIRED: "its time was over",
    NotificationStatus.DIGESTED: "it became part of a digest",
    NotificationStatus.IN_DOUBT: "a provider may or may not have it",
}
LATE_FAILURE_NOTE = "Its run in Temporal had ended before and does not show this; GET /failures does."


def summary(history: NotificationHistory) -> str:
    """Return the status and its meaning in one sentence."""
    arrived = [
        delivery.channel
        for delivery in history.deliveries
        if delivery.status in ARRIVED_STATUSES and delivery.status.value == history.status.value
    ]
    if arrived:
        return f"{history.status}, by {' and '.join(dict.fromkeys(arrived))}."
    meaning = STATUS_MEANINGS.get(history.status, "so it is recorded")
    why = failure_sentence(history.failures)
    return f"{history.status}: {meaning}{f' ({why})' if why not in ('', meaning) else ''}."


def explain(history: NotificationHistory, now: datetime) -> list[HistoryLine]:
    """Return what happened in order, then what did not happen, then what the notification waits for."""
    lines = (
        [HistoryLine(at=history.cancel_requested_at, text="A cancel was asked for.")]
        if history.cancel_requested_at
        else []
    )
    lines += [
        *_event_lines(history),
        *(line for delivery in history.deliveries for line in _attempt_lines(history, delivery)),
    ]
    lines += [HistoryLine(at=history.finished_at, text="No step waits any more.")] if history.finished_at else []
    lines += [
        HistoryLine(at=event.at, text=LATE_FAILURE_NOTE) for event in history.events if _failed_late(event, history)
    ]
    happened = sorted(lines, key=lambda line: line.at or now)
    return [*happened, *(HistoryLine(text=text) for text in (*_unused_channels(history), *current_waits(history, now)))]


def _failed_late(event: TimelineEvent, history: NotificationHistory) -> bool:
    failed = event.status is NotificationStatus.FAILED
    return failed and history.finished_at is not None and event.at > history.finished_at


def _event_lines(history: NotificationHistory) -> Iterator[HistoryLine]:
    for event in history.events:
        text = event_sentence(event, history)
        if text is not None:
            yield HistoryLine(at=event.at, text=text)


def _attempt_lines(history: NotificationHistory, delivery: DeliveryHistory) -> Iterator[HistoryLine]:
    for attempt in history.attempts_of(delivery):
        label = _attempt_label(attempt, delivery)
        yield HistoryLine(at=attempt.started_at, text=f"{label}: {attempt.provider} was asked to send it.")
        answer = _attempt_result(attempt, was_lost=_was_lost(history, attempt, delivery))
        if attempt.finished_at is not None and answer is not None:
            yield HistoryLine(at=attempt.finished_at, text=f"{label}: {answer}.")


def _attempt_label(attempt: AttemptHistory, delivery: DeliveryHistory) -> str:
    device = f" to device {attempt.endpoint_id[-SHORT_ID_LENGTH:]}" if attempt.endpoint_id != delivery.channel else ""
    return f"{delivery.channel}, attempt {attempt.number}{device}"


def _was_lost(history: NotificationHistory, attempt: AttemptHistory, delivery: DeliveryHistory) -> bool:
    """Return whether the timeline records an unknown outcome at the time of this call."""
    asked = {"provider": attempt.provider, "attempt": attempt.number}
    return any(
        event.kind == "attempt_unknown"
        and event.channel == delivery.channel
        and asked.items() <= (event.detail or {}).items()
        and attempt.started_at <= event.at <= (attempt.finished_at or event.at)
        for event in history.events
    )


def _attempt_result(attempt: AttemptHistory, *, was_lost: bool) -> str | None:
    match attempt.state:
        case AttemptState.ACCEPTED:
            return f"it turned out that {attempt.provider} has it" if was_lost else f"{attempt.provider} accepted it"
        case AttemptState.REFUSED:
            what = REFUSED_OBJECTS.get(category_of_code(attempt.reason) or ReasonCategory.RECIPIENT, "it")
            return f"{attempt.provider} refused {what} ({attempt.reason})"
        case AttemptState.NOT_ACCEPTED if was_lost:
            return f"it turned out that {attempt.provider} does not have it ({attempt.reason})"
        case AttemptState.NOT_ACCEPTED if attempt.error_type == "permanent":
            return f"{attempt.provider} cannot send for us ({attempt.reason})"
        case AttemptState.NOT_ACCEPTED if attempt.reason == SERVER_ERROR:
            return f"{attempt.provider} answered with a server error, and did not take it"
        case AttemptState.NOT_ACCEPTED:
            return f"{attempt.provider} did not take it ({attempt.reason})"
        case AttemptState.UNKNOWN if not was_lost:
            return unknown_outcome_text(attempt.provider, attempt.reason)
    return None


def _unused_channels(history: NotificationHistory) -> Iterator[str]:
    """Return the channels of the type without any record."""
    if history.collected:
        return
    turn = "has not come" if history.finished_at is None else "never came"
    known = {(delivery.step, delivery.channel) for delivery in history.current}
    for number, channels in enumerate((history.always, *history.route)):
        place = f"step {number}" if number else "outside the steps"
        for channel in channels:
            if history.only is not None and channel not in history.only:
                yield f"{channel} ({place}) is not used: the caller did not ask for it."
            elif (number, channel) not in known:
                yield f"{channel} ({place}): its turn {turn}."


def current_waits(history: NotificationHistory, now: datetime) -> list[str]:
    """Return what the notification waits for; nothing once it has finished."""
    if history.finished_at is not None:
        return []
    if history.collected:
        return [f"Now: it waits for its digest{_until_text(history.closes_at)}."]
    texts = [text for delivery in history.deliveries if (text := _wait_of(history, delivery))]
    if history.waits_for is not None:
        until = f", until {format_time(history.waits_until)} at the earliest" if history.waits_until is not None else ""
        texts.append(f"Now: it waits{until}: {reason_sentence(history.waits_for)}.")
    if history.dispatched_at is None:
        later = (
            f"; the dispatcher takes it up from {format_time(history.dispatch_at)} on"
            if history.dispatch_at > now
            else ""
        )
        texts.append(f"Now: it waits to be started{later}.")
    if history.send_at is not None and history.send_at > now:
        texts.append(f"Now: it waits for its time, {format_time(history.send_at)}.")
    if history.cancel_requested_at is not None:
        texts.append("Now: it is canceled as soon as what is under way has ended.")
    return texts or ["Now: its workflow continues; nothing that it waits for is recorded."]


def _paused(pause: ActivePause) -> str:
    by = f" by {pause.by}" if pause.by else ""
    why = f": {pause.reason}" if pause.reason else ""
    return f"the {pause.kind} {pause.name} is paused since {format_time(pause.since)}{by}{why}"


def _wait_of(history: NotificationHistory, delivery: DeliveryHistory) -> str | None:
    if delivery.held_at is not None:
        why = "; ".join(_paused(pause) for pause in history.pauses_of(delivery))
        until = f" ({why})" if why else ""
        again = (
            f" It is tried again at {format_time(delivery.waits_until)}." if delivery.waits_until is not None else ""
        )
        held = f"{delivery.channel} is held back since {format_time(delivery.held_at)}"
        return f"Now: {held}, until nothing holds it any more{until}.{again}"
    if delivery.awaited_evidence is Evidence.SENT:
        return f"Now: {delivery.channel} waits to learn whether the provider has it{_until_text(delivery.waits_until)}."
    if delivery.awaited_evidence is not None:
        goal = f"{delivery.channel} waits until it is {delivery.awaited_evidence}"
        return f"Now: {goal}, or its time for that is over{_until_text(delivery.waits_until)}."
    if delivery.status not in (DeliveryStatus.PENDING, DeliveryStatus.SENDING):
        return None
    attempts = history.attempts_of(delivery)
    if not attempts:
        return f"Now: {delivery.channel} waits for the first call to a provider."
    last = max(attempts, key=lambda attempt: attempt.started_at)
    if last.state is AttemptState.SUBMITTING:
        return f"Now: {delivery.channel} waits for the answer of {last.provider}, attempt {last.number}."
    if delivery.waits_until is not None:
        return f"Now: {delivery.channel} waits for attempt {last.number + 1}{_until_text(delivery.waits_until)}."
    return f"Now: {delivery.channel} waits for what follows attempt {last.number}."


def _until_text(at: datetime | None) -> str:
    return "" if at is None else f", until {format_time(at)} at the latest"
