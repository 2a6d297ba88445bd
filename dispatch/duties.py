"""What the dispatcher that leads does beside starting workflows.

Each duty is done when it is woken by its name, and after a while anyway: it says in how many seconds. Two processes may
do the same duty at once, since one that stood still goes on with the step that it had begun.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client

from activities.recurring import Recurring
from dispatch.digests import Digests
from dispatch.erasures import Erasures
from dispatch.lost_rows import LostRows
from dispatch.provider_queues import ProviderQueues
from dispatch.pruning import Pruning
from dispatch.rates import Rates
from dispatch.reconsiderations import Reconsiderations
from dispatch.recoveries import Recoveries
from dispatch.sampling import Sampling
from dispatch.schedule_plans import SchedulePlans
from dispatch.signals import Signals
from dispatch.starter import Starter
from dispatch.throttles import Throttles
from dispatch.ticks import Ticks
from domain.names import (
    CANCEL_DUE,
    COLLECT_DUE,
    DIGEST_DUE,
    ERASURE_DUE,
    EVIDENCE_DUE,
    PLANS_DUE,
    RATES_DUE,
    RECONSIDER_DUE,
    RECOVERY_DUE,
    RELEASE_DUE,
    RUNS_DUE,
    THROTTLE_DUE,
    TICKS_DUE,
)
from metrics.samples import SampledGauges
from storage.catalog import Catalog
from storage.database import Database

Duties = Mapping[str, Callable[[], Awaitable[float]]]


@dataclass(frozen=True, kw_only=True)
class Means:
    """What the duties need. `rates` are the settings of the providers, calls per second; 0 is no limit."""

    database: Database
    client: Client
    starter: Starter
    catalog: Catalog
    recurring: Recurring
    rates: Mapping[str, float]
    resume_rate: float
    sampled: SampledGauges


def duties_of(means: Means, kept_at_least: float) -> Duties:
    """`kept_at_least`: for how many seconds no notification is removed."""
    database = means.database
    signals = Signals(database, means.starter, means.resume_rate)
    digests = Digests(database, means.catalog, means.starter)
    throttles = Throttles(database)
    ticks = Ticks(database, means.client, means.recurring)
    return {
        RECOVERY_DUE: Recoveries(database).recover,
        CANCEL_DUE: signals.cancels,
        EVIDENCE_DUE: signals.evidence,
        RECONSIDER_DUE: Reconsiderations(database).reconsider,
        ERASURE_DUE: Erasures(database).erase,
        RELEASE_DUE: signals.releases,
        RATES_DUE: Rates(database, means.client, means.rates).keep,
        "provider queues": ProviderQueues(database, list(means.rates)).let_in,
        COLLECT_DUE: digests.collect,
        DIGEST_DUE: digests.tell,
        THROTTLE_DUE: throttles.roll,
        "lost rows": LostRows(database, means.client).end_workflows,
        "forget": throttles.forget,
        "pruning": Pruning(database, timedelta(seconds=kept_at_least)).prune,
        TICKS_DUE: ticks.ensure,
        PLANS_DUE: SchedulePlans(database, means.recurring).plan,
        RUNS_DUE: ticks.go_on,
        "samples": Sampling(database, means.sampled, list(means.rates)).sample,
    }
