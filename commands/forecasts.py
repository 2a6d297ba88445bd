"""Format the prediction of a send. Used by `tocsin send --dry-run`."""

from collections.abc import Iterator

from domain.json_types import Json

START_CONDITIONS = {
    "always": "",
    "goal_missed": " unless the goal is reached",
    "step_failed": " if the previous step fails",
}


def forecast_lines(forecast: Json) -> Iterator[str]:
    end = f": {forecast['status']}, {forecast['reason']}" if forecast["status"] else ""
    yield f"Dry run, nothing was sent. Decision: {forecast['decision']}{end}"
    if forecast["replays"]:
        yield f"replays {forecast['replays']}"
    yield from (f"waits for {wait['reason']} until {wait['until'] or 'it ends'}" for wait in forecast["waits"])
    for step in forecast["steps"]:
        yield f"step {step['step']}{START_CONDITIONS[step['start']]}{_at_time(step['at'])}"
        yield from (f"  waits for {wait['reason']} until {wait['until']}" for wait in step["waits"])
        yield from (f"  {_channel_line(channel)}" for channel in step["channels"])
        if step["goal"]:
            yield f"  goal: {step['goal']} within {step['within']}"


def _at_time(time: str | None) -> str:
    return f" at {time}" if time else ""


def _channel_line(channel: Json) -> str:
    if channel["decision"] != "send":
        return f"{channel['channel']}: {channel['decision']}, {channel['reason']}"
    template = f"{channel['template_name']} version {channel['template_version']} in {channel['language']}"
    sms = channel["sms"]
    segments = f", SMS segments: {sms['segments']} in {sms['encoding']}" if sms else ""
    return f"{channel['channel']}: send by {channel['provider']}, {template}, by rule {channel['rule']}{segments}"
