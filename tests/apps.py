"""Applications by parts and settings, and one OpenAPI document: building them takes longer than most tests."""

from dataclasses import replace
from functools import cache
from typing import Any

from fastapi import FastAPI

from api.app import create_app
from bootstrap import Container
from config import Settings

_built: list[tuple[Container, Settings, FastAPI]] = []


def app_of(container: Container, settings: Settings | None = None) -> FastAPI:
    """For parts that live as long as the session, with their own settings unless others are given."""
    wanted = settings or container.settings
    for known, given, app in _built:
        if known is container and given == wanted:
            return app
    app = create_app(replace(container, settings=settings) if settings else container)
    _built.append((container, wanted, app))
    return app


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document, which modules read while they are collected. It is the same with and without parts."""
    return create_app().openapi()
