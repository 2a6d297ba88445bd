"""What a workflow of a notification tells the next run of itself, since no row says it."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """`first_answers` is when the first call of an endpoint was answered, from which its patience counts; `ours`, how
    many of its attempts were slow or lost on our side; `lost_since`, when the answer of an attempt was lost. All by the
    endpoint."""

    cancel_requested: bool = False
    first_answers: dict[str, datetime] = field(default_factory=dict)
    ours: dict[str, int] = field(default_factory=dict)
    lost_since: dict[str, datetime] = field(default_factory=dict)
