"""What a workflow of a notification tells the next run of itself, since no row says it."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """`first_response_times` is when the first call of an endpoint was answered, from which its patience counts; `ours`, how
    many of its attempts were slow or lost on our side; `unknown_since`, when the answer of an attempt was lost. All by the
    endpoint."""

    cancel_requested: bool = False
    first_response_times: dict[str, datetime] = field(default_factory=dict)
    internal_failures: dict[str, int] = field(default_factory=dict)
    unknown_since: dict[str, datetime] = field(default_factory=dict)
