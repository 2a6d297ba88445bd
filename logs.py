"""Configure logging: JSON lines on stdout, without exception messages."""

import logging
import sys
import traceback

import structlog
from structlog.typing import EventDict, Processor

from config import Settings


def configure_logging(settings: Settings) -> None:
    """Write our logs and those of libraries as JSON lines. Drop exception messages, because they may quote input."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _remove_error_messages,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    rendering: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=rendering))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    # hpack writes each header of a request over HTTP/2, among them credentials and the path with the device.
    for noisy in ("httpx2", "httpcore2", "hpack", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _remove_error_messages(_: object, __: str, event: EventDict) -> EventDict:
    info = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else sys.exc_info()[1] if info else None
    if error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        event["error"] = type(error).__name__
        event["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    return event
