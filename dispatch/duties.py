"""What the dispatcher that leads does beside starting workflows.

Each duty is done when it is woken by its name, and after a while anyway: it says in how many seconds.
"""

from collections.abc import Awaitable, Callable, Mapping

from dispatch.digests import Digests
from dispatch.provider_queues import ProviderQueues
from dispatch.rates import Rates
from dispatch.signals import Signals
from dispatch.throttles import Throttles
from dispatch.ticks import Ticks
from domain.names import (
    CANCEL_DUE,
    COLLECT_DUE,
    DIGEST_DUE,
    EVIDENCE_DUE,
    RATES_DUE,
    RELEASE_DUE,
    RUNS_DUE,
    THROTTLE_DUE,
    TICKS_DUE,
)

Duties = Mapping[str, Callable[[], Awaitable[float]]]


def duties_of(
    signals: Signals, rates: Rates, queues: ProviderQueues, digests: Digests, throttles: Throttles, ticks: Ticks
) -> Duties:
    return {
        CANCEL_DUE: signals.cancels,
        EVIDENCE_DUE: signals.evidence,
        RELEASE_DUE: signals.releases,
        RATES_DUE: rates.keep,
        "provider queues": queues.let_in,
        COLLECT_DUE: digests.collect,
        DIGEST_DUE: digests.tell,
        THROTTLE_DUE: throttles.roll,
        "forget": throttles.forget,
        TICKS_DUE: ticks.ensure,
        RUNS_DUE: ticks.go_on,
    }
