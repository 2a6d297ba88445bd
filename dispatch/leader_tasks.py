"""Define the tasks that the leader runs besides the start of workflows.

A task runs when its name is notified, and again after the number of seconds that it returns. Two processes may run
the same task at once, because a stalled process finishes the step that it had begun.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client

from dispatch.digests import DigestTasks
from dispatch.gauge_sampling import SamplingTask
from dispatch.large_changes import LargeChangeTasks, SchedulePlanTask
from dispatch.limit_admission import LimitAdmissionTasks
from dispatch.pruning import PruningTask
from dispatch.temporal.queue_rates import QueueRateTask
from dispatch.temporal.schedules import TickTasks
from dispatch.temporal.store_recovery import StoreRecoveryTask
from dispatch.temporal.unknown_workflows import UnknownWorkflowTask
from dispatch.workflow_signals import WorkflowSignalTasks
from dispatch.workflow_starter import WorkflowStarter
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
from services.recurring_sends import RecurringSends
from storage.catalog import Catalog
from storage.database import Database

LeaderTasks = Mapping[str, Callable[[], Awaitable[float]]]


@dataclass(frozen=True, kw_only=True)
class LeaderDependencies:
    """Hold what the tasks need. `rates` are the settings of the providers, calls per second; 0 is no limit. No
    notification is removed before `min_retention`."""

    database: Database
    client: Client
    starter: WorkflowStarter
    catalog: Catalog
    recurring: RecurringSends
    rates: Mapping[str, float]
    resume_rate: float
    sampled_gauges: SampledGauges
    min_retention: timedelta
    attachment_retention: timedelta


def build_leader_tasks(dependencies: LeaderDependencies) -> LeaderTasks:
    """Build the tasks by name."""
    database = dependencies.database
    signals = WorkflowSignalTasks(database, dependencies.starter, dependencies.resume_rate)
    digests = DigestTasks(database, dependencies.catalog, dependencies.starter)
    admission = LimitAdmissionTasks(database, list(dependencies.rates))
    changes = LargeChangeTasks(database)
    ticks = TickTasks(database, dependencies.client, dependencies.recurring)
    return {
        RECOVERY_DUE: StoreRecoveryTask(database).recover,
        CANCEL_DUE: signals.send_cancel_signals,
        EVIDENCE_DUE: signals.send_evidence_signals,
        RECONSIDER_DUE: changes.reconsider,
        ERASURE_DUE: changes.erase,
        RELEASE_DUE: signals.release_held,
        RATES_DUE: QueueRateTask(database, dependencies.client, dependencies.rates).update_rates,
        "provider queues": admission.admit,
        COLLECT_DUE: digests.collect_items,
        DIGEST_DUE: digests.signal_pending_windows,
        THROTTLE_DUE: admission.open_next,
        "lost rows": UnknownWorkflowTask(database, dependencies.client).terminate_unknown_workflows,
        "throttle purge": admission.purge,
        "pruning": PruningTask(database, dependencies.min_retention, dependencies.attachment_retention).prune,
        TICKS_DUE: ticks.ensure_schedules,
        PLANS_DUE: SchedulePlanTask(database, dependencies.recurring).plan_batch,
        RUNS_DUE: ticks.continue_runs,
        "samples": SamplingTask(database, dependencies.sampled_gauges, list(dependencies.rates)).sample,
    }
