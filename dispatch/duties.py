"""What the dispatcher that leads does beside starting workflows.

Each duty is done when it is woken by its name, and after a while anyway: it says in how many seconds. Two processes may
do the same duty at once, since one that stood still goes on with the step that it had begun.
"""

from collections.abc import Awaitable, Callable, Mapping

from dispatch.digests import Digests
from dispatch.rates import Rates
from dispatch.recoveries import Recoveries
from dispatch.signals import Signals
from dispatch.throttles import Throttles
from dispatch.ticks import Ticks
from domain.names import (
    CANCEL_DUE,
    COLLECT_DUE,
    DIGEST_DUE,
    EVIDENCE_DUE,
    RATES_DUE,
    RECOVERY_DUE,
    RELEASE_DUE,
    RUNS_DUE,
    THROTTLE_DUE,
    TICKS_DUE,
)

Duties = Mapping[str, Callable[[], Awaitable[float]]]


def duties_of(
    signals: Signals, rates: Rates, digests: Digests, throttles: Throttles, ticks: Ticks, recoveries: Recoveries
) -> Duties:
    return {
        RECOVERY_DUE: recoveries.recover,
        CANCEL_DUE: signals.cancels,
        EVIDENCE_DUE: signals.evidence,
        RELEASE_DUE: signals.releases,
        RATES_DUE: rates.keep,
        COLLECT_DUE: digests.collect,
        DIGEST_DUE: digests.tell,
        THROTTLE_DUE: throttles.roll,
        "forget": throttles.forget,
        TICKS_DUE: ticks.ensure,
        RUNS_DUE: ticks.go_on,
    }
