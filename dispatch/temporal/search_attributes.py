"""Add the search attributes of our workflows, or check that they exist on a server that does not let us add them."""

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain import names

log = structlog.get_logger(__name__)

SEARCH_ATTRIBUTES = {
    names.TENANT_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    names.TYPE_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    names.STATUS_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    names.CHANNEL_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
    names.STEP_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_INT,
    names.PRIORITY_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_INT,
    names.SCHEDULE_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
}
# Refusals of hosted servers, where only an operator adds search attributes.
REFUSAL_STATUSES = (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED)


class MissingSearchAttributes(RPCError):
    """Report that the server does not let us add them. `missing` names each with its type."""

    def __init__(self, missing: list[str]) -> None:
        self.missing = missing
        message = f"Temporal lacks search attributes and does not let Tocsin add them; add {', '.join(missing)}"
        super().__init__(message, RPCStatusCode.FAILED_PRECONDITION, b"")


async def ensure_search_attributes(client: Client) -> None:
    """Add the search attributes. They are lost with the server's store, so this runs after each start of it. If the
    server refuses, check that they exist. Raise RPCError, including MissingSearchAttributes."""
    request = AddSearchAttributesRequest(namespace=client.namespace, search_attributes=SEARCH_ATTRIBUTES)
    try:
        await client.operator_service.add_search_attributes(request)
    except RPCError as error:
        if error.status in REFUSAL_STATUSES:
            await _check_existing(client)
        elif error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise


async def _check_existing(client: Client) -> None:
    existing = await _existing_names(client)
    if missing := [
        f"{name}={_type_name(value_type)}" for name, value_type in SEARCH_ATTRIBUTES.items() if name not in existing
    ]:
        error = MissingSearchAttributes(missing)
        log.error(error.message, namespace=client.namespace)
        raise error


async def _existing_names(client: Client) -> set[str]:
    """Return those of the namespace. If the list is refused too, return those that a query accepts."""
    try:
        request = ListSearchAttributesRequest(namespace=client.namespace)
        return set((await client.operator_service.list_search_attributes(request)).custom_attributes)
    except RPCError as error:
        if error.status not in REFUSAL_STATUSES:
            raise
    return {name for name in SEARCH_ATTRIBUTES if await _can_be_queried(client, name)}


async def _can_be_queried(client: Client, name: str) -> bool:
    try:
        await client.count_workflows(f"{name} IS NULL")
    except RPCError as error:
        if error.status is not RPCStatusCode.INVALID_ARGUMENT:
            raise
        return False
    return True


def _type_name(value_type: "IndexedValueType.ValueType") -> str:
    """Return the type as Temporal's tools write it: Keyword, KeywordList, Int."""
    return IndexedValueType.Name(value_type).removeprefix("INDEXED_VALUE_TYPE_").title().replace("_", "")
