"""Check that every route declares the scope of its key; a route without one would be public."""

import importlib
from collections.abc import Iterator

from fastapi import APIRouter, FastAPI
from fastapi.routing import RouteContext, iter_route_contexts

API = "/api/v1"
SCOPES = {"send", "read", "manage", "operate"}

# Authenticated by the provider's own signature instead of a key.
PUBLIC = {f"POST {API}/receipts/{{provider}}"}

# Vendors add their own query parameters to the URLs of their callbacks. Every other route refuses unknown ones.
ANY_QUERY = {f"POST {API}/receipts/{{provider}}"}


def routes(app: FastAPI) -> Iterator[tuple[str, RouteContext]]:
    """Return the routes with their full paths, also those of included routers. A mount has no method and counts as
    `ANY`."""
    for route in iter_route_contexts(app.routes):
        if (route.path or "").startswith(f"{API}/"):
            yield from ((f"{method} {route.path}", route) for method in sorted(route.methods or {"ANY"}))


def scope_of(route: RouteContext) -> str | None:
    scope: str | None = getattr(route.original_route, "scope", None) or getattr(route.endpoint, "scope", None)
    return scope


def without_scope(app: FastAPI) -> set[str]:
    return {name for name, route in routes(app) if scope_of(route) not in SCOPES}


def the_app() -> FastAPI:
    app: FastAPI = importlib.import_module("api.app").create_app()
    return app


def test_every_route_declares_a_scope_unless_it_is_public() -> None:
    app = the_app()
    assert len(list(routes(app))) > len(PUBLIC)
    assert without_scope(app) == PUBLIC


def test_every_route_but_those_that_vendors_call_refuses_unknown_query_parameters() -> None:
    app = the_app()
    lenient = {name for name, route in routes(app) if hasattr(route.endpoint, "any_query")}
    assert lenient == ANY_QUERY


def test_a_route_without_a_known_scope_is_found() -> None:
    async def forgot() -> None: ...

    async def misspelt() -> None: ...

    async def declared() -> None: ...

    misspelt.scope = "reed"  # type: ignore[attr-defined]
    declared.scope = "read"  # type: ignore[attr-defined]
    router = APIRouter()
    for endpoint in (forgot, misspelt, declared):
        router.add_api_route(f"/{endpoint.__name__}", endpoint, methods=["GET"])
    app = FastAPI()
    app.include_router(router, prefix=API)
    app.add_api_route("/healthz", forgot)
    app.mount(f"{API}/files", FastAPI())
    assert without_scope(app) == {f"GET {API}/forgot", f"GET {API}/misspelt", f"ANY {API}/files"}
