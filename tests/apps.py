"""One application per set of parts: building it takes longer than a request of most tests."""

from fastapi import FastAPI

from api.app import create_app
from bootstrap import Parts

_built: dict[int, tuple[Parts, FastAPI]] = {}


def app_of(parts: Parts) -> FastAPI:
    """For parts that live as long as the session."""
    if id(parts) not in _built:
        _built[id(parts)] = parts, create_app(parts)
    return _built[id(parts)][1]
