"""Temporary: until the session fixtures of `tests/conftest.py` exist."""

from tests.api.conftest import api, database, parts, renderer, tenant  # noqa: F401
