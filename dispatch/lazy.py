"""A Temporal connection made at the first call, for processes that serve without Temporal too. Used by `connect`."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

from google.protobuf.message import Message
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode, ServiceClient

Answer = TypeVar("Answer", bound=Message)


class LazyService(ServiceClient):
    """Until it is connected the SDK raises a bare RuntimeError when nobody answers. Here that is an RPCError like any
    other outage, so that a process that starts while Temporal is down serves, and its loops try again."""

    def __init__(self, connecting: ServiceClient) -> None:
        super().__init__(connecting.config)
        self._connecting = connecting

    @property
    def worker_service_client(self) -> Any:
        return self._connecting.worker_service_client

    def update_rpc_metadata(self, metadata: Mapping[str, str | bytes]) -> None:
        self._connecting.update_rpc_metadata(metadata)

    def update_api_key(self, api_key: str | None) -> None:
        self._connecting.update_api_key(api_key)

    async def _rpc_call(
        self,
        rpc: str,
        req: Message,
        resp_type: type[Answer],
        *,
        service: str,
        retry: bool,
        metadata: Mapping[str, str | bytes],
        timeout: timedelta | None,  # noqa: ASYNC109 - the SDK's signature
    ) -> Answer:
        try:
            return await self._connecting._rpc_call(
                rpc, req, resp_type, service=service, retry=retry, metadata=metadata, timeout=timeout
            )
        except RuntimeError as error:
            raise RPCError("Temporal cannot be reached", RPCStatusCode.UNAVAILABLE, b"") from error


def lazily(client: Client) -> Client:
    """The same client, with one way to tell an outage."""
    config = client.config()
    config["service_client"] = LazyService(client.service_client)
    return Client(**config)
