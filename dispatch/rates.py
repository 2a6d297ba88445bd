"""Holds each provider's rate where all workers share it, on its task queue, and lifts it while the circuit is open.

What already stands in the queue of a provider that is down would else leave it at that provider's own pace, only to be
told to go elsewhere. Run by the dispatcher that leads.
"""

import time
from collections.abc import Mapping
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import RateLimit
from temporalio.api.workflowservice.v1 import UpdateTaskQueueConfigRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from dispatch.connection import reaching_temporal
from domain.circuits import CircuitState
from domain.names import delivery_queue
from storage import provider_health
from storage.database import Database

# Of servers that know no such call, or do not let us: then the workers' own setting stands.
UNABLE = (RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED)
LOOK_AGAIN = 2.0
TELL_AGAIN = 30.0
# Calls per second: of none is told, a worker's own setting would stand.
LIFTED = 100_000.0
IDENTITY = "tocsin-dispatcher"
RPC_TIMEOUT = timedelta(seconds=5)


class Rates:
    """`rates` are calls per second by provider; 0 is no limit."""

    def __init__(self, database: Database, client: Client, rates: Mapping[str, float]) -> None:
        self._database = database
        self._client = client
        self._rates = rates
        self._told: dict[str, tuple[float, float]] = {}

    async def keep(self) -> float:
        """Tells the server what has changed, and from time to time what has not: another dispatcher may have led in
        between, and a store may be a new one."""
        async with self._database.transaction() as session:
            healths = await provider_health.read_all(session)
        for name, rate in self._rates.items():
            is_open = name in healths and healths[name].state is CircuitState.OPEN
            wanted = LIFTED if rate and is_open else rate
            told, at = self._told.get(name, (None, 0.0))
            if told != wanted or time.monotonic() - at > TELL_AGAIN:
                self._told[name] = wanted, time.monotonic()
                await self._tell(name, wanted)
        return LOOK_AGAIN

    async def _tell(self, provider: str, rate: float) -> None:
        """0 takes a limit away that was told before."""
        reason = "circuit open" if rate == LIFTED else "the provider's rate"
        limit = RateLimit(requests_per_second=rate) if rate else None
        request = UpdateTaskQueueConfigRequest(
            namespace=self._client.namespace,
            identity=IDENTITY,
            task_queue=delivery_queue(provider),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            update_queue_rate_limit=UpdateTaskQueueConfigRequest.RateLimitUpdate(rate_limit=limit, reason=reason),
        )
        try:
            with reaching_temporal():
                await self._client.workflow_service.update_task_queue_config(request, timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status not in UNABLE:
                self._told.pop(provider)
                raise
