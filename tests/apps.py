"""One application per set of parts, and one OpenAPI document: building them takes longer than most tests."""

from functools import cache
from typing import Any

from fastapi import FastAPI

from api.app import create_app
from bootstrap import Parts

_built: dict[int, tuple[Parts, FastAPI]] = {}


def app_of(parts: Parts) -> FastAPI:
    """For parts that live as long as the session."""
    if id(parts) not in _built:
        _built[id(parts)] = parts, create_app(parts)
    return _built[id(parts)][1]


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document, which modules read while they are collected. It is the same with and without parts."""
    return create_app().openapi()
