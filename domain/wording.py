"""Rules and reasons as operators would say them: the words of the record are short and stable, these are read."""

import re
from collections.abc import Sequence

from domain.failure_reasons import text_of

Table = Sequence[tuple[re.Pattern[str], str]]


def _table(*entries: tuple[str, str]) -> Table:
    return [(re.compile(pattern, re.DOTALL), words) for pattern, words in entries]


# Why a channel may be used, by the rule that said so.
YES: Table = _table(
    (r"required", "the type is required, whatever the person prefers"),
    (r"type_channel_preferences\.(.+)\.(\w+)", "the person's preference for {0} allows {1}"),
    (r"global_channel_opt_in\.(\w+)", "the person has {0} turned on"),
    (r"type\.default", "the type is on by default"),
    (r"type\.default\.(\w+)", "the type is on for {0} by default"),
    (r"on", "nothing speaks against it"),
)

# Why not.
NO: Table = _table(
    (r"type_channel_preferences\.(.+)\.(\w+)", "the person's preference for {0} forbids {1}"),
    (r"global_channel_opt_in\.(\w+)", "the person has {0} turned off"),
    (r"type\.default", "the type is off unless the person asks for it"),
    (r"type\.default\.(\w+)", "the type is off for {0} unless the person asks for it"),
)

SUPPRESSED = {
    "bounced": "a message to it came back",
    "complained": "somebody there complained",
    "opted_out": "somebody there has opted out",
    "manual": "entered by hand",
}

REASONS: Table = _table(
    (r"no_address", "the person has no address or device for it"),
    (r"no_template", "no template for it is published"),
    (r"no_provider", "no provider is set up for it"),
    (r"no_channel", "no channel was left"),
    (r"recipient_erased", "the person was erased"),
    (r"template_error: (.+)", "its template failed: {0}"),
    (r"goal_reached \(step (\d+)\)", "step {0} had got far enough by then"),
    (r"already_sent \(generation (\d+)\)", "generation {0} turned out to have sent it"),
    (r"refused: (.+)", "the provider refuses this recipient: {0}"),
    (r"refused_recipient", "the provider refuses this recipient"),
    (r"provider_failed: (.+)", "no provider can send it: {0}"),
    (r"gave_up after 1 attempts: (.+)", "given up after one attempt: {0}"),
    (r"gave_up after (\d+) attempts: (.+)", "given up after {0} attempts, the last one: {1}"),
    (r"outcome_unknown", "nobody knows whether it arrived"),
    (r"outcome_unknown: (.+)", "nobody knows whether it arrived: {0}"),
    (r"bounced", "it came back"),
    (r"bounced: (.+)", "it was not delivered, since {0}"),
    (r"expired", "its time was over"),
    (r"expired: (.+)", "its time was over; before that: {0}"),
    (r"canceled", "it was cancelled"),
    (r"canceled_in_temporal", "its workflow was cancelled in Temporal"),
    (r"workflow_(.+)", "its workflow ended in Temporal without it: {0}"),
    (r"internal", "a fault of Tocsin's own"),
    (r"not_sent", "it was not sent"),
    (r"paused \(tenant .+\)", "the tenant is suspended"),
    (r"paused \((\w+) (.+)\)", "the {0} {1} is paused"),
    (r"circuit_open \((.+)\)", "{0} is down, and its circuit is open"),
    (r"provider_busy \((.+)\)", "{0} has as many calls waiting as its rate allows for"),
    (r"quiet_hours", "the person has quiet hours"),
    (r"send_window", "the type goes out at other hours"),
    (r"throttled", "there were as many of this type as it allows"),
    (r"capped", "the person got as many as anybody may"),
    (r"provider_throttled \((.+)\)", "{0} wants no calls for a while"),
)


def _said(table: Table, text: str) -> str | None:
    for pattern, words in table:
        if found := pattern.fullmatch(text):
            return words.format(*found.groups())
    return None


def allowed(rule: str | None) -> str:
    return _said(YES, rule or "on") or str(rule)


def reason(code: str | None) -> str:
    """What no table knows is told as it is."""
    if code is None:
        return "no reason is recorded"
    if found := re.fullmatch(r"opted_out \((.+)\)", code):
        return _said(NO, found[1]) or f"opted out ({found[1]})"
    if found := re.fullmatch(r"suppressed \((.+)\)", code):
        return f"its address is on the suppression list ({SUPPRESSED.get(found[1], found[1])})"
    if code.startswith("bounced: "):
        code = f"bounced: {text_of(code)}"
    return _said(REASONS, code) or code


def line(reasons: str) -> str:
    """Of a notification: `email: no_address; sms: bounced`, channel by channel."""
    return "; ".join(_of_channel(part) for part in reasons.split("; "))


def _of_channel(part: str) -> str:
    channel, colon, code = part.partition(": ")
    known = colon and re.fullmatch(r"[a-z_]+", channel) and reason(part) == part
    return f"{channel}: {reason(code)}" if known else reason(part)
