"""The Temporal client, and what a Temporal server needs before it can take our workflows."""

from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.failure.v1 import Failure
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
    PayloadConverter,
)
from temporalio.exceptions import ApplicationError, TemporalError
from temporalio.service import RPCError, RPCStatusCode

from domain import names
from domain.stored_enums import UnknownValue
from storage.outages import is_permanent

ATTRIBUTES = {
    names.TENANT_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    names.TYPE_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    names.STATUS_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    names.CHANNEL_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
    names.STEP_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_INT,
    names.PRIORITY_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_INT,
}


# Bugs of ours: trying again only repeats them. Everything else may be an outage, which Temporal waits out.
MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)


# Of Temporal itself: it is there again by itself. Every other refusal is about what it was asked.
OUTAGES = frozenset(
    {
        RPCStatusCode.ABORTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.UNKNOWN,
    }
)


def is_bug(exception: BaseException) -> bool:
    """Whether to repeat the activity would only repeat the error."""
    if isinstance(exception, UnknownValue):
        return False
    return isinstance(exception, MISTAKES) or is_permanent(exception)


class FactsOnly(DefaultFailureConverter):
    """Errors of ours travel by their class alone: the message of a database error quotes the row."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        if not isinstance(exception, TemporalError):
            kind, mistake = type(exception).__name__, is_bug(exception)
            named = ApplicationError("see the worker's log", type=kind, non_retryable=mistake)
            exception = named.with_traceback(exception.__traceback__)
        super().to_failure(exception, payload_converter, failure)
        # A long one exceeds what Temporal shows of a failure; the innermost frames tell most.
        failure.stack_trace = failure.stack_trace[-2000:]


class PayloadsByPydantic(CompositePayloadConverter):
    """Pydantic's JSON converter, one for the process. The SDK builds a payload converter for each workflow run; with a
    JSON converter of its own, each run would build the schema of every payload's type again."""

    _json = PydanticJSONPlainPayloadConverter()

    def __init__(self) -> None:
        defaults = DefaultPayloadConverter.default_encoding_payload_converters
        super().__init__(*(self._json if isinstance(each, JSONPlainPayloadConverter) else each for each in defaults))


# One converter for API, worker, tests and the replayer.
CONVERTER = DataConverter(payload_converter_class=PayloadsByPydantic, failure_converter_class=FactsOnly)


async def connect(address: str, namespace: str, *, lazy: bool) -> Client:
    """`lazy` connects at the first call: for processes that serve without Temporal too."""
    return await Client.connect(address, namespace=namespace, data_converter=CONVERTER, lazy=lazy)


@contextmanager
def reaching_temporal() -> Iterator[None]:
    """A lazy client that was never connected raises a bare RuntimeError when nobody answers; here that is an outage
    like any other."""
    try:
        yield
    except RuntimeError as error:
        raise RPCError("Temporal cannot be reached", RPCStatusCode.UNAVAILABLE, b"") from error


async def prepare(client: Client) -> None:
    """Search attributes; they are gone with the server's store, so this runs after each start of it."""
    request = AddSearchAttributesRequest(namespace=client.namespace, search_attributes=ATTRIBUTES)
    try:
        await client.operator_service.add_search_attributes(request)
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
