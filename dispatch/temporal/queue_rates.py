"""Set each provider's rate on its task queue, which all workers share, and lift it while the circuit is open.

Otherwise the queued calls of a provider that is down would leave its queue at the provider's rate, only to be
rerouted. Run by the leader; a change at run time wakes it.

The limit that is set here overrides the `max_task_queue_activities_per_second` of workers, also of later ones.
Measured with two workers of 5 a second: a limit of 20 gave 19 to 21, and still did after a third worker with 3 had
joined; without it, 3 to 5, since among workers the last to poll decides. Each tenant is a fairness key: with 5 for
each, one with a backlog had 5 a second, and another's were started within 60 ms.
"""

import time
from collections.abc import Mapping
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import RateLimit
from temporalio.api.workflowservice.v1 import UpdateTaskQueueConfigRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from dispatch.temporal.connection import convert_connection_errors
from domain.circuits import CircuitState
from domain.names import delivery_queue
from domain.rates import NO_RATE_LIMITS, ProviderRateLimits, queue_rate_limits
from storage import provider_health
from storage.database import Database

# Errors of servers that lack the call or do not allow it: the workers' own setting applies.
UNSUPPORTED_STATUSES = (RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED)
POLL_INTERVAL = 2.0
UPDATE_INTERVAL = 30.0
IDENTITY = "tocsin-dispatcher"
RPC_TIMEOUT = timedelta(seconds=5)


class QueueRateTask:
    """Set the rates. `rates` are the settings: calls per second by provider; 0 is no limit."""

    def __init__(self, database: Database, client: Client, rates: Mapping[str, float]) -> None:
        self._database = database
        self._client = client
        self._rates = rates
        self._last_updates: dict[str, tuple[ProviderRateLimits, float]] = {}

    async def update_rates(self) -> float:
        """Set the limits that have changed, and every 30 s all limits, because another process may have been leader or
        the store may be new. Then read the rows again, because another process may have changed a limit while this one
        stalled before its call."""
        while await self._update_changed():
            pass
        return POLL_INTERVAL

    async def _update_changed(self) -> bool:
        async with self._database.statement() as session:
            healths = await provider_health.read_health(session)
        async with self._database.statement() as session:
            limits = await provider_health.read_limits(session)
        is_updated = False
        for name, setting in self._rates.items():
            is_open = name in healths and healths[name].state is CircuitState.OPEN
            wanted = queue_rate_limits(limits.get(name, NO_RATE_LIMITS), setting, lifted=is_open)
            last_limits, updated_at = self._last_updates.get(name, (None, 0.0))
            if last_limits != wanted or time.monotonic() - updated_at > UPDATE_INTERVAL:
                self._last_updates[name], is_updated = (wanted, time.monotonic()), True
                await self._update_queue(name, wanted, "circuit open" if is_open else "the provider's rate")
        return is_updated

    async def _update_queue(self, provider: str, limits: ProviderRateLimits, reason: str) -> None:
        request = UpdateTaskQueueConfigRequest(
            namespace=self._client.namespace,
            identity=IDENTITY,
            task_queue=delivery_queue(provider),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            update_queue_rate_limit=_rate_update(limits.rate, reason),
            update_fairness_key_rate_limit_default=_rate_update(limits.tenant_rate, reason),
        )
        try:
            with convert_connection_errors():
                await self._client.workflow_service.update_task_queue_config(request, timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status not in UNSUPPORTED_STATUSES:
                self._last_updates.pop(provider)
                raise


def _rate_update(rate: float | None, reason: str) -> UpdateTaskQueueConfigRequest.RateLimitUpdate:
    limit = None if rate is None else RateLimit(requests_per_second=rate)
    return UpdateTaskQueueConfigRequest.RateLimitUpdate(rate_limit=limit, reason=reason)
