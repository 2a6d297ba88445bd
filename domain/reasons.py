"""Define why something did not happen, or waits: a code and its arguments, as rows, messages and the timeline keep
them.

`reason_line` is the text of the API, `reason_sentence` that of `explain`; nothing parses them. A provider's own
reason is the argument `cause`, one of the codes of `domain/failure_reasons.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.failure_reasons import ReasonCategory, category_of_code, code_text, is_account_code

Args = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reason:
    """Hold a code and its arguments. `args` hold ids and facts, never addresses: they travel through Temporal."""

    code: str
    args: Args = field(default_factory=dict)

    @property
    def cause(self) -> str | None:
        return self.args.get("cause")


@dataclass(frozen=True, slots=True)
class ChannelReason:
    """Hold why one channel failed; `channel` is None if the whole notification has one reason."""

    channel: str | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class Phrase:
    """Format a reason from its arguments: the sentence without and with a cause, and what the line shows in
    brackets."""

    sentence: str
    with_cause: str = ""
    shown: str = ""


VOCABULARY: dict[str, Phrase] = {
    # Of a channel.
    "no_address": Phrase("the recipient has no address or device for it"),
    "no_chat_room": Phrase("the tenant has no chat room {room}", shown="{room}"),
    "not_decrypted": Phrase("the key that its address is encrypted by is missing"),
    "no_template": Phrase("no template for it is published"),
    "no_provider": Phrase("no provider is set up for it"),
    "opted_out": Phrase("the recipient has turned it off{preference}", shown="{rule}"),
    "not_opted_in": Phrase("the type is off by default, and the recipient has not opted in", shown="{rule}"),
    "suppressed": Phrase("its address is on the suppression list ({listed})", shown="{list}"),
    "number_refused": Phrase("nothing is sent to numbers of this kind ({rule})", shown="{rule}"),
    "recipient_erased": Phrase("the recipient was erased"),
    "goal_reached": Phrase("step {step} has reached its goal", shown="step {step}"),
    "already_sent": Phrase("generation {generation} turned out to have sent it", shown="generation {generation}"),
    "template_error": Phrase("its template failed", "its template failed: {cause}"),
    "sms_too_long": Phrase("its text needs {segments} segments; at most {limit} are sent", shown="{segments} segments"),
    "refused": Phrase("the provider refuses {whom}", "the provider refuses {whom}: {cause}"),
    "provider_failed": Phrase("no provider can send it", "no provider can send it: {cause}"),
    "retries_exhausted": Phrase("given up after {attempts}", "given up after {attempts}, the last one: {cause}"),
    "outcome_unknown": Phrase("it is not known whether it arrived", "it is not known whether it arrived: {cause}"),
    "bounced": Phrase("the provider did not deliver it", "the provider did not deliver it: {cause}"),
    "not_sent": Phrase("it was not sent"),
    # Of a notification, or of both.
    "no_channel": Phrase("no channel was left"),
    "expired": Phrase("its time was over", "its time was over; before that: {cause}"),
    "canceled": Phrase("it was canceled"),
    "canceled_in_temporal": Phrase("its workflow was canceled in Temporal"),
    "workflow_ended": Phrase("its workflow ended in Temporal without it ({how})", shown="{how}"),
    "internal": Phrase("a bug of Tocsin"),
    # What a notification waits for.
    "paused": Phrase("the {kind} {name} is paused", shown="{kind} {name}"),
    "tenant_suspended": Phrase("the tenant is suspended"),
    "circuit_open": Phrase("{provider} is down, and its circuit is open", shown="{provider}"),
    "provider_throttled": Phrase("{provider} wants no calls for a while", shown="{provider}"),
    "provider_busy": Phrase("{provider} has as many calls waiting as its rate allows for", shown="{provider}"),
    "quiet_hours": Phrase("the recipient has quiet hours"),
    "send_window": Phrase("the type goes out at other hours"),
    "throttled": Phrase("there were as many of this type as it allows"),
    "frequency_capped": Phrase("the recipient got as many as the frequency cap allows"),
    # Of a step.
    "goal_missed": Phrase("not {goal} in time", shown="{goal}"),
}
# Why an address is on the suppression list.
SUPPRESSION_TEXTS = {
    "bounced": "a message to it bounced",
    "complained": "the recipient complained",
    "opted_out": "the recipient has opted out",
    "manual": "entered manually",
}
# What a provider refuses, by the category of its reason.
REFUSED_OBJECTS = {ReasonCategory.RECIPIENT: "this recipient", ReasonCategory.CONTENT: "this message"}
REDUNDANT_CAUSES = ("refused_recipient", "content_refused")  # they add nothing to "refused"
# Codes that are not a provider's and have a category.
OWN_CATEGORIES = {
    "no_address": ReasonCategory.RECIPIENT,
    "template_error": ReasonCategory.CONTENT,
    "sms_too_long": ReasonCategory.CONTENT,
    "no_provider": ReasonCategory.ACCOUNT,
    "not_decrypted": ReasonCategory.ACCOUNT,
    "no_chat_room": ReasonCategory.ACCOUNT,
}


def reason_with_cause(code: str, cause: str | None) -> Reason:
    return Reason(code, {"cause": cause} if cause else {})


def missing_address_reason(room: str | None) -> Reason:
    """Return why there is no address: of the tenant's chat room, or of the recipient if `room` is None."""
    return Reason("no_chat_room", {"room": room}) if room else Reason("no_address")


def bounce_reason(cause: str | None) -> Reason:
    """Return the reason of a delivery that a provider accepted and reported as not delivered."""
    return reason_with_cause("provider_failed" if is_account_code(cause) else "bounced", cause)


def reason_line(reason: Reason) -> str:
    """Return the text that the API shows: `opted_out (global_channel_opt_in.sms)`, `retries_exhausted: timeout`."""
    cause = reason.cause
    if reason.code == "refused" and cause is not None and "refused" in cause:
        return cause
    phrase = VOCABULARY.get(reason.code)
    shown = _format(phrase.shown, reason.args) if phrase is not None else None
    return f"{reason.code}{f' ({shown})' if shown else ''}{f': {cause}' if cause else ''}"


def failure_line(failures: Iterable[ChannelReason]) -> str | None:
    """Return the `failure_reason` of a notification: `email: retries_exhausted: timeout; sms: no_address`."""
    return "; ".join(_of_channel(one.channel, reason_line(one.reason)) for one in failures) or None


def reason_sentence(reason: Reason | None) -> str:
    """Return the words of `explain`; return the line of a code that is not listed."""
    if reason is None:
        return "no reason is recorded"
    phrase = VOCABULARY.get(reason.code)
    if phrase is None:
        return code_text(reason_line(reason))
    cause = None if reason.code == "refused" and reason.cause in REDUNDANT_CAUSES else reason.cause
    template = phrase.with_cause if cause and phrase.with_cause else phrase.sentence
    return _format(template, _phrase_arguments(reason)) or reason_line(reason)


def failure_sentence(failures: Iterable[ChannelReason]) -> str:
    return "; ".join(_of_channel(one.channel, reason_sentence(one.reason)) for one in failures)


def category_of(reason: Reason | None) -> ReasonCategory | None:
    """Return the category of the cause, if a provider gave one, else that of the code."""
    if reason is None:
        return None
    return category_of_code(reason.cause) or OWN_CATEGORIES.get(reason.code)


def first_category(failures: Iterable[ChannelReason]) -> ReasonCategory | None:
    """Return the category of a notification's failure: that of the first channel that has one."""
    return next((found for one in failures if (found := category_of(one.reason))), None)


def failures_to_json(failures: Iterable[ChannelReason]) -> list[dict[str, Any]]:
    return [{"channel": one.channel, "code": one.reason.code, "args": dict(one.reason.args)} for one in failures]


def failures_from_json(rows: Iterable[Mapping[str, Any]] | None) -> tuple[ChannelReason, ...]:
    return tuple(ChannelReason(row["channel"], Reason(row["code"], row["args"])) for row in rows or ())


def reason_columns(reason: Reason | None) -> dict[str, Any]:
    """Return the columns of a row of `delivery`."""
    if reason is None:
        return {"failure_reason": None, "failure_args": None}
    return {"failure_reason": reason.code, "failure_args": dict(reason.args)}


def _phrase_arguments(reason: Reason) -> dict[str, Any]:
    args, cause = reason.args, reason.cause
    attempts, preference = args.get("attempts"), args.get("preference")
    return {
        "whom": REFUSED_OBJECTS.get(category_of_code(cause) or ReasonCategory.RECIPIENT, "it"),
        **args,
        "cause": cause and code_text(cause),
        "attempts": "one attempt" if attempts == 1 else f"{attempts} attempts" if attempts else "several attempts",
        "preference": f" for {preference}" if preference else "",
        "listed": SUPPRESSION_TEXTS.get(str(args.get("list")), args.get("list")),
    }


def _format(template: str, args: Args) -> str | None:
    """Return None if an argument is missing, as in rows of another version."""
    try:
        return template.format_map(args)
    except KeyError:
        return None


def _of_channel(channel: str | None, text: str) -> str:
    return text if channel is None else f"{channel}: {text}"
