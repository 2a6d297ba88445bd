"""Define the state that a notification's workflow passes to its next run, because no row holds it."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """Hold state by endpoint. `first_response_times`: when the first call had a response, from which `give_up_after`
    counts. `internal_failures`: how many attempts were slow or lost on our side. `unknown_since`: when the outcome
    of an attempt became unknown."""

    cancel_requested: bool = False
    first_response_times: dict[str, datetime] = field(default_factory=dict)
    internal_failures: dict[str, int] = field(default_factory=dict)
    unknown_since: dict[str, datetime] = field(default_factory=dict)
