"""Holds each provider's rate where all workers share it, on its task queue, and lifts it while the circuit is open.

What already stands in the queue of a provider that is down would else leave it at that provider's own pace, only to be
told to go elsewhere. Run by the dispatcher that leads.
"""

from collections.abc import Mapping
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import RateLimit
from temporalio.api.workflowservice.v1 import UpdateTaskQueueConfigRequest
from temporalio.client import Client

from dispatch.connection import reaching_temporal
from domain.names import delivery_queue
from storage import provider_health
from storage.database import Database

LOOK_AGAIN = 2.0
# Calls per second: of none is told, a worker's own setting would stand.
LIFTED = 100_000.0
IDENTITY = "tocsin-dispatcher"
RPC_TIMEOUT = timedelta(seconds=5)


class Rates:
    """`rates` are calls per second by provider; 0 is no limit, and such queues are left alone."""

    def __init__(self, database: Database, client: Client, rates: Mapping[str, float]) -> None:
        self._database = database
        self._client = client
        self._rates = {name: rate for name, rate in rates.items() if rate}
        self._told: dict[str, float] = {}

    async def keep(self) -> float:
        """Tells the server what has changed since it was told last."""
        if not self._rates:
            return LOOK_AGAIN
        async with self._database.transaction() as session:
            healths = await provider_health.read_all(session)
        for name, rate in self._rates.items():
            wanted = rate if name not in healths or healths[name].passes else LIFTED
            if self._told.get(name) != wanted:
                await self._tell(name, wanted)
                self._told[name] = wanted
        return LOOK_AGAIN

    async def _tell(self, provider: str, rate: float) -> None:
        limit = UpdateTaskQueueConfigRequest.RateLimitUpdate(
            rate_limit=RateLimit(requests_per_second=rate),
            reason="circuit open" if rate == LIFTED else "the provider's rate",
        )
        request = UpdateTaskQueueConfigRequest(
            namespace=self._client.namespace,
            identity=IDENTITY,
            task_queue=delivery_queue(provider),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            update_queue_rate_limit=limit,
        )
        with reaching_temporal():
            await self._client.workflow_service.update_task_queue_config(request, timeout=RPC_TIMEOUT)
