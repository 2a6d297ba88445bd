"""Build the line that describes a run in Temporal's Web UI: type, priority and channels. Used by
`dispatch/starter.py`."""

from collections.abc import Collection, Sequence

# Temporal refuses a start whose summary has more than 400 bytes.
MAX_SUMMARY_LENGTH = 250


def route_text(route: Sequence[Sequence[str]], only: Collection[str] | None) -> str:
    """Return `email + push then sms`: the steps of the route, restricted to the channels that the caller asked for;
    None: all."""
    steps = [[channel for channel in step if only is None or channel in only] for step in route]
    return " then ".join(" + ".join(step) for step in steps if step)


def run_summary(notification_type: str, priority: int, route: str) -> str:
    parts = [notification_type, f"priority {priority}", route]
    return ", ".join(part for part in parts if part)[:MAX_SUMMARY_LENGTH]
