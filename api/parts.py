"""What routes need of the built application; `bootstrap` builds it and `create_app` puts it into the app's state."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Protocol

from fastapi import Depends, Request

from config import Settings
from providers.base import Provider
from rendering.renderer import Renderer
from storage.catalog import Catalog
from storage.database import Database


class Parts(Protocol):
    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def renderer(self) -> Renderer: ...
    @property
    def providers(self) -> Mapping[str, Provider]: ...
    @property
    def temporal_ok(self) -> Callable[[], Awaitable[bool]]: ...
    @property
    def on_receipts(self) -> Callable[[], None]: ...


def parts_of(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsDep = Annotated[Parts, Depends(parts_of)]
