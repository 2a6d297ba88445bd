"""One readable account of a notification, from what is recorded of it alone: what was decided, asked and said, and why.

Pure; `api/explaining.py` brings the rows. For operators: it names ids and facts, and no addresses or content.
"""

from collections.abc import Iterator
from datetime import datetime

from domain.event_words import SERVER_ERROR, SHORT, lost_words, moment, words_of
from domain.evidence import AttemptState, Evidence
from domain.failure_reasons import ReasonCategory, category
from domain.holds import Pause
from domain.overview import ARRIVED
from domain.reasons import WHAT_IS_REFUSED, sentence, sentences
from domain.records import Event
from domain.statuses import DeliveryStatus, NotificationStatus
from domain.stories import Call, Leg, Line, Story

MEANING: dict[NotificationStatus, str] = {
    NotificationStatus.PENDING: "it is on its way, or waits",
    NotificationStatus.FAILED: "it reached the recipient by no channel",
    NotificationStatus.SUPPRESSED: "the recipient does not want it, or it may not be sent",
    NotificationStatus.CANCELED: "it was canceled",
    NotificationStatus.EXPIRED: "its time was over",
    NotificationStatus.DIGESTED: "it became part of a digest",
    NotificationStatus.IN_DOUBT: "a provider may or may not have it",
}
AFTER_THE_RUN = "Its run in Temporal had ended before and does not show this; GET /failures does."


def summary(story: Story) -> str:
    """The status and what it means, in one sentence."""
    arrived = [leg.channel for leg in story.legs if leg.status in ARRIVED and leg.status.value == story.status.value]
    if arrived:
        return f"{story.status}, by {' and '.join(dict.fromkeys(arrived))}."
    meaning = MEANING.get(story.status, "so it is recorded")
    why = sentences(story.failures)
    return f"{story.status}: {meaning}{f' ({why})' if why not in ('', meaning) else ''}."


def account(story: Story, now: datetime) -> list[Line]:
    """What happened, in order; then what did not; then what is waited for."""
    lines = [Line(at=story.cancel_requested_at, text="A cancel was asked for.")] if story.cancel_requested_at else []
    lines += [*_told(story), *(line for leg in story.legs for line in _asked(story, leg))]
    lines += [Line(at=story.finished_at, text="No step waits any more.")] if story.finished_at else []
    lines += [Line(at=event.at, text=AFTER_THE_RUN) for event in story.events if _failed_late(event, story)]
    happened = sorted(lines, key=lambda line: line.at or now)
    return [*happened, *(Line(text=text) for text in (*_unused(story), *waits(story, now)))]


def _failed_late(event: Event, story: Story) -> bool:
    failed = event.status is NotificationStatus.FAILED
    return failed and story.finished_at is not None and event.at > story.finished_at


def _told(story: Story) -> Iterator[Line]:
    for event in story.events:
        text = words_of(event, story)
        if text is not None:
            yield Line(at=event.at, text=text)


def _asked(story: Story, leg: Leg) -> Iterator[Line]:
    for call in story.calls_of(leg):
        which = _which(call, leg)
        yield Line(at=call.started_at, text=f"{which}: {call.provider} was asked to send it.")
        answer = _answer(call, lost=_was_lost(story, call, leg))
        if call.finished_at is not None and answer is not None:
            yield Line(at=call.finished_at, text=f"{which}: {answer}.")


def _which(call: Call, leg: Leg) -> str:
    device = f" to device {call.endpoint_id[-SHORT:]}" if call.endpoint_id != leg.channel else ""
    return f"{leg.channel}, attempt {call.number}{device}"


def _was_lost(story: Story, call: Call, leg: Leg) -> bool:
    """The timeline says that no answer came at first, in the time of this very call."""
    asked = {"provider": call.provider, "attempt": call.number}
    return any(
        event.kind == "attempt_unknown"
        and event.channel == leg.channel
        and asked.items() <= (event.detail or {}).items()
        and call.started_at <= event.at <= (call.finished_at or event.at)
        for event in story.events
    )


def _answer(call: Call, *, lost: bool) -> str | None:
    match call.state:
        case AttemptState.ACCEPTED:
            return f"it turned out that {call.provider} has it" if lost else f"{call.provider} accepted it"
        case AttemptState.REFUSED:
            what = WHAT_IS_REFUSED.get(category(call.reason) or ReasonCategory.RECIPIENT, "it")
            return f"{call.provider} refused {what} ({call.reason})"
        case AttemptState.NOT_ACCEPTED if lost:
            return f"it turned out that {call.provider} does not have it ({call.reason})"
        case AttemptState.NOT_ACCEPTED if call.error_type == "permanent":
            return f"{call.provider} cannot send for us ({call.reason})"
        case AttemptState.NOT_ACCEPTED if call.reason == SERVER_ERROR:
            return f"{call.provider} answered with a server error, and did not take it"
        case AttemptState.NOT_ACCEPTED:
            return f"{call.provider} did not take it ({call.reason})"
        case AttemptState.UNKNOWN if not lost:
            return lost_words(call.provider, call.reason)
    return None


def _unused(story: Story) -> Iterator[str]:
    """Channels of the type of which nothing is recorded."""
    if story.collected:
        return
    turn = "has not come" if story.finished_at is None else "never came"
    known = {(leg.step, leg.channel) for leg in story.current}
    for number, channels in enumerate((story.beside, *story.route)):
        place = f"step {number}" if number else "beside the steps"
        for channel in channels:
            if story.only is not None and channel not in story.only:
                yield f"{channel} ({place}) is not used: the caller did not ask for it."
            elif (number, channel) not in known:
                yield f"{channel} ({place}): its turn {turn}."


def waits(story: Story, now: datetime) -> list[str]:
    """What has to happen before it goes on; nothing once it is over."""
    if story.finished_at is not None:
        return []
    if story.collected:
        return [f"Now: it waits for its digest{_until(story.closes_at)}."]
    waits = [text for leg in story.legs if (text := _wait_of(story, leg))]
    if story.waits_for is not None:
        until = f", until {moment(story.waits_until)} at the earliest" if story.waits_until is not None else ""
        waits.append(f"Now: it waits{until}: {sentence(story.waits_for)}.")
    if story.dispatched_at is None:
        later = f"; the dispatcher takes it up from {moment(story.dispatch_at)} on" if story.dispatch_at > now else ""
        waits.append(f"Now: it waits to be started{later}.")
    if story.send_at is not None and story.send_at > now:
        waits.append(f"Now: it waits for its time, {moment(story.send_at)}.")
    if story.cancel_requested_at is not None:
        waits.append("Now: it is canceled as soon as what is under way has ended.")
    return waits or ["Now: its workflow goes on; nothing that it waits for is recorded."]


def _paused(pause: Pause) -> str:
    by = f" by {pause.by}" if pause.by else ""
    why = f": {pause.reason}" if pause.reason else ""
    return f"the {pause.kind} {pause.name} is paused since {moment(pause.since)}{by}{why}"


def _wait_of(story: Story, leg: Leg) -> str | None:
    if leg.held_at is not None:
        why = "; ".join(_paused(pause) for pause in story.pauses_of(leg))
        until = f" ({why})" if why else ""
        again = f" It is tried again at {moment(leg.waits_until)}." if leg.waits_until is not None else ""
        held = f"{leg.channel} is held back since {moment(leg.held_at)}"
        return f"Now: {held}, until nothing holds it any more{until}.{again}"
    if leg.awaits is Evidence.SENT:
        return f"Now: {leg.channel} waits to learn whether the provider has it{_until(leg.waits_until)}."
    if leg.awaits is not None:
        return (
            f"Now: {leg.channel} waits until it is {leg.awaits}, or its time for that is over{_until(leg.waits_until)}."
        )
    if leg.status not in (DeliveryStatus.PENDING, DeliveryStatus.SENDING):
        return None
    calls = story.calls_of(leg)
    if not calls:
        return f"Now: {leg.channel} waits for the first call to a provider."
    last = max(calls, key=lambda call: call.started_at)
    if last.state is AttemptState.SUBMITTING:
        return f"Now: {leg.channel} waits for the answer of {last.provider}, attempt {last.number}."
    if leg.waits_until is not None:
        return f"Now: {leg.channel} waits for attempt {last.number + 1}{_until(leg.waits_until)}."
    return f"Now: {leg.channel} waits for what follows attempt {last.number}."


def _until(at: datetime | None) -> str:
    return "" if at is None else f", until {moment(at)} at the latest"
