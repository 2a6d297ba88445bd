"""Connect to Temporal and convert payloads and failures."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from temporalio.api.failure.v1 import Failure
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
from temporalio.service import RPCError, RPCStatusCode, TLSConfig

from config.temporal import TemporalSettings
from domain.stored_enums import UnknownValue
from storage.connections import is_permanent

# Our bugs: a retry only repeats them. Every other error may be an outage, and Temporal retries it.
BUG_TYPES = (
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


# Errors of an unavailable Temporal, which recovers by itself. Every other refusal is about the request.
OUTAGE_STATUSES = frozenset(
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
    """Return whether a retry of the activity would only repeat the error."""
    if isinstance(exception, UnknownValue):
        return False
    return isinstance(exception, BUG_TYPES) or is_permanent(exception)


class RedactingFailureConverter(DefaultFailureConverter):
    """Send internal errors by their class alone: the message of a database error quotes the row."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        if not isinstance(exception, TemporalError):
            error_type, is_permanent_bug = type(exception).__name__, is_bug(exception)
            redacted = ApplicationError("see the worker's log", type=error_type, non_retryable=is_permanent_bug)
            exception = redacted.with_traceback(exception.__traceback__)
        super().to_failure(exception, payload_converter, failure)
        # A long one exceeds what Temporal shows of a failure; the innermost frames are the most useful.
        failure.stack_trace = failure.stack_trace[-2000:]


class SharedJsonPayloadConverter(CompositePayloadConverter):
    """Share Pydantic's JSON converter in the process. The SDK builds a payload converter for each workflow run; with
    its own JSON converter, each run would build the schema of every payload's type again."""

    _json = PydanticJSONPlainPayloadConverter()

    def __init__(self) -> None:
        defaults = DefaultPayloadConverter.default_encoding_payload_converters
        super().__init__(*(self._json if isinstance(each, JSONPlainPayloadConverter) else each for each in defaults))


# One converter for API, worker, tests and the replayer.
DATA_CONVERTER = DataConverter(
    payload_converter_class=SharedJsonPayloadConverter, failure_converter_class=RedactingFailureConverter
)


async def connect(
    address: str, namespace: str, *, lazy: bool, tls: bool | TLSConfig = False, api_key: str | None = None
) -> Client:
    """Connect. `lazy` connects at the first call, for processes that also serve without Temporal."""
    return await Client.connect(
        address, namespace=namespace, data_converter=DATA_CONVERTER, lazy=lazy, tls=tls, api_key=api_key
    )


async def connect_with_settings(settings: TemporalSettings, *, lazy: bool) -> Client:
    """Connect to the server of the settings, with their TLS and API key."""
    return await connect(
        settings.temporal_address,
        settings.temporal_namespace,
        lazy=lazy,
        tls=tls_of(settings),
        api_key=settings.temporal_api_key.get_secret_value() or None,
    )


def tls_of(settings: TemporalSettings) -> bool | TLSConfig:
    """Return the TLS settings. Without a configured authority the server is checked against those of the system."""
    if not settings.temporal_uses_tls:
        return False
    key = settings.temporal_tls_key.get_secret_value()
    return TLSConfig(
        server_root_ca_cert=settings.temporal_tls_ca.encode() or None,
        domain=settings.temporal_tls_server_name or None,
        client_cert=settings.temporal_tls_cert.encode() or None,
        client_private_key=key.encode() or None,
    )


@contextmanager
def convert_connection_errors() -> Iterator[None]:
    """Raise an outage instead of the bare RuntimeError of a lazy client that could not connect."""
    try:
        yield
    except RuntimeError as error:
        raise RPCError("Temporal cannot be reached", RPCStatusCode.UNAVAILABLE, b"") from error


async def is_server_available(client: Client) -> bool:
    """Return whether the server answers within a second."""
    try:
        with convert_connection_errors():
            return await client.service_client.check_health(timeout=timedelta(seconds=1))
    except RPCError:
        return False
