"""Cache applications and the OpenAPI document: building them takes longer than most tests."""

from dataclasses import replace
from functools import cache
from typing import Any

from fastapi import FastAPI

from api.app import create_app
from bootstrap import Container
from config import Settings

_app_cache: list[tuple[Container, Settings, FastAPI]] = []


def app_of(container: Container, settings: Settings | None = None) -> FastAPI:
    """Return the application of a container that lives as long as the session. The default settings are its own."""
    app_settings = settings or container.settings
    for cached_container, cached_settings, app in _app_cache:
        if cached_container is container and cached_settings == app_settings:
            return app
    app = create_app(replace(container, settings=settings) if settings else container)
    _app_cache.append((container, app_settings, app))
    return app


@cache
def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document, which test modules read at collection. It does not depend on a container."""
    return create_app().openapi()
