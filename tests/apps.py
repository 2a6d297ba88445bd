"""Applications by parts and settings, and one OpenAPI document: building them takes longer than most tests."""

from dataclasses import replace
from functools import cache
from typing import Any

from fastapi import FastAPI

from api.app import create_app
from bootstrap import Parts
from config import Settings

_built: list[tuple[Parts, Settings, FastAPI]] = []


def app_of(parts: Parts, settings: Settings | None = None) -> FastAPI:
    """For parts that live as long as the session, with their own settings unless others are given."""
    wanted = settings or parts.settings
    for known, given, app in _built:
        if known is parts and given == wanted:
            return app
    app = create_app(replace(parts, settings=settings) if settings else parts)
    _built.append((parts, wanted, app))
    return app


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document, which modules read while they are collected. It is the same with and without parts."""
    return create_app().openapi()
