"""Capture the log of the product, as an installation writes it."""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from config import Settings
from logs import configure_logging


@contextmanager
def capture_log() -> Iterator[io.StringIO]:
    """Capture the log of the product at level debug, as bootstrap configures it."""
    root, printed, stdout = logging.getLogger(), io.StringIO(), sys.stdout
    handlers, level = root.handlers[:], root.level
    sys.stdout = printed
    try:
        configure_logging(Settings(env="dev", log_level="debug", _env_file=None))
    finally:
        sys.stdout = stdout
    try:
        yield printed
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
