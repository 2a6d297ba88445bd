"""Define the messages of notifications in Temporal: ids and facts, never addresses, names, bodies or payloads.
`domain/digest_and_tick_messages.py` has those of digests and ticks, `domain/goal_messages.py` those of a step that
waits for its goal."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from domain.channels import Channel
from domain.evidence import CallResult, Evidence
from domain.gates import Gate
from domain.notification_types import Guarantee
from domain.reasons import Args, Reason
from domain.statuses import DeliveryStatus, NotificationStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """Hold what no row has for the next run of the workflow, by endpoint. `first_response_times`: when the first call
    had a response, from which `give_up_after` counts. `internal_failures`: how many attempts were slow or lost on our
    side. `unknown_since`: when the outcome of an attempt became unknown."""

    cancel_requested: bool = False
    first_response_times: dict[str, datetime] = field(default_factory=dict)
    internal_failures: dict[str, int] = field(default_factory=dict)
    unknown_since: dict[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationStart:
    """Start a workflow. `waits_for_send_at`: the queue entry waits for `send_at` too. `run_state` is the state of an
    earlier run of the workflow."""

    notification_id: UUID
    tenant: UUID
    generation: int
    notification_type: str
    priority: int
    send_at: datetime | None = None
    expires_at: datetime | None = None
    waits_for_send_at: bool = False
    run_state: RunState | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationOutcome:
    status: NotificationStatus
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedProvider:
    """Describe a provider of an endpoint in a plan. `timeout` is the activity's: the adapter's deadline plus the time
    of guard and record. `settles_within` is how long its vendor can be asked, or may report, before an unknown outcome
    is in doubt. `guarantee` decides about unknown outcomes, and `max_resends` limits the resends after them; None is no
    limit. For `idempotency_window` a call with an unknown outcome can be repeated without effect. Calls of a provider
    that `has_rate` use its own queue, where the server enforces the rate."""

    name: str
    timeout: timedelta
    settles_within: timedelta = timedelta()
    guarantee: Guarantee | None = None
    max_resends: int | None = None
    idempotency_window: timedelta = timedelta()
    has_rate: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Describe an endpoint and the providers that can reach it, in order. `id`: a device row's id or the channel's
    name.

    `first_attempt_number` is the last attempt of an earlier, lost workflow: `deliver` returns the outcome in its
    row. `earlier_unknown_outcomes` counts the attempts before it with an unknown outcome. `locale` is that of a device
    with its own.
    """

    id: str
    providers: tuple[PlannedProvider, ...]
    first_attempt_number: int = 1
    earlier_unknown_outcomes: int = 0
    locale: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelPlan:
    """Plan a channel. `devices_skipped` counts the recipient's devices beyond the limit, which are not endpoints."""

    channel: Channel
    delivery_id: UUID
    rule: str
    guarantee: Guarantee
    endpoints: tuple[Endpoint, ...]
    devices_skipped: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlan:
    """Plan a step. With a `goal` beyond "sent" the next step runs if the goal is not reached `within` this time."""

    number: int
    channels: tuple[ChannelPlan, ...]
    goal: Evidence | None = None
    within: timedelta = timedelta()


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolveInput:
    notification_id: UUID
    tenant: UUID
    generation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderInput:
    notification_id: UUID
    tenant: UUID
    generation: int
    step: StepPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderResult:
    """Hold by delivery why a channel could not be rendered. `is_closed`: the row is final."""

    is_closed: bool = False
    failures: dict[UUID, Reason] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Plan a notification. `final_outcome` is set if the row is final or of another generation: nothing is left to
    do. `always_step` is step 0, the channels that are always sent, whatever the others do. With a `gate` it is too
    early: resolve again later. `rendered` is the result of the steps that start immediately; None if each step is
    rendered separately."""

    steps: tuple[StepPlan, ...] = ()
    always_step: StepPlan | None = None
    give_up_after: timedelta = timedelta()
    final_outcome: NotificationOutcome | None = None
    gate: Gate | None = None
    rendered: RenderResult | None = None

    @property
    def immediate_steps(self) -> tuple[StepPlan, ...]:
        """Return the always step and the first step of the route."""
        return (self.always_step, *self.steps[:1]) if self.always_step else self.steps[:1]


class NoCallResult(StrEnum):
    """Name the result of `deliver` without a call. NEEDS_PROVIDER_QUEUE: schedule the call on the provider's own
    queue."""

    STOPPED = "stopped"
    HELD = "held"
    REROUTED = "rerouted"
    NEEDS_PROVIDER_QUEUE = "needs_provider_queue"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliverInput:
    """Request one call. `finishes_notification`: the notification ends with an acceptance, and `deliver` writes the
    end too.

    `pool` names all providers that can deliver; `has_alternatives`: another one can be called while this one's
    circuit is open. `goal` is what the workflow will wait for after an acceptance; `waits_for_evidence`: it will
    wait for evidence after an unknown outcome. `must_repeat`: the call is allowed only as the repetition of an earlier
    one, within the provider's idempotency window. `is_unserved`: no worker has started the call on the provider's own
    queue for minutes.
    """

    notification_id: UUID
    tenant: UUID
    generation: int
    delivery_id: UUID
    channel: Channel
    endpoint_id: str
    provider: str
    attempt_number: int
    finishes_notification: bool
    pool: tuple[str, ...] = ()
    has_alternatives: bool = False
    goal: Evidence | None = None
    waits_for_evidence: bool = False
    must_repeat: bool = False
    is_unserved: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliverResult:
    """Return the result of `deliver`. `reason` is the provider's, or our own with `args`. `stopped_status` is the
    delivery's end if the guard refused. `recorded` False asks the workflow to record it. `provider` is the provider
    of the attempt; `evidence` and `sent_at` are what is known of it. `until` is the known end of a hold.
    `unknown_since` is when the first call was made to this provider whose outcome is unknown."""

    result: CallResult | NoCallResult
    reason: str | None = None
    args: Args = field(default_factory=dict)
    retry_after: timedelta | None = None
    stopped_status: DeliveryStatus | None = None
    status: NotificationStatus = NotificationStatus.PENDING
    finished: bool = False
    recorded: bool = True
    provider_message_id: str | None = None
    provider: str | None = None
    evidence: Evidence | None = None
    sent_at: datetime | None = None
    until: datetime | None = None
    unknown_since: datetime | None = None

    @property
    def full_reason(self) -> Reason:
        return Reason(self.reason or str(self.result), self.args)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordInput:
    call: DeliverInput
    outcome: DeliverResult


# The reason of an unknown outcome at a provider that does not allow our account to look up messages.
LOOKUP_REFUSED = "lookup_refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class LookUpInput:
    """Request a lookup. `final`: the settle window is over, so that a message that is not found was never accepted."""

    call: DeliverInput
    final: bool
