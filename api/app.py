"""Puts the API together. `create_app` is called with the parts that bootstrap built."""

from collections.abc import Iterator

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from api import docs, failures, openapi
from api.body_budget import BodyBudget
from api.front_door import FrontDoor
from api.key_uses import KeyUses
from api.local_pages import LocalPages
from api.rate_limits import RateLimits
from api.requests import Requests
from api.routes import (
    audit,
    devices,
    digests,
    event_endpoints,
    explanations,
    health,
    inbox,
    keys,
    metrics,
    notification_events,
    notification_types,
    notifications,
    outbox,
    parked_failures,
    pauses,
    preferences,
    providers,
    receipts,
    recipients,
    redrives,
    schedules,
    sends,
    settings,
    suppressions,
    template_previews,
    templates,
    tenants,
    topics,
    webhook_secret,
)
from api.send_groups import SendGroups
from bootstrap import Parts
from web import outbox as outbox_page
from web import tracking

PREFIX = "/api/v1"
VERSION = "1"
DESCRIPTION = "Self-hosted notification infrastructure: every notification is a durable workflow."

# The routers of the API, in the order in which /docs shows them.
ROUTERS: tuple[APIRouter, ...] = (
    sends.router,
    notifications.router,
    notification_events.router,
    receipts.router,
    explanations.router,
    redrives.router,
    digests.router,
    parked_failures.router,
    recipients.router,
    devices.router,
    preferences.router,
    suppressions.router,
    topics.router,
    schedules.router,
    providers.router,
    pauses.router,
    notification_types.router,
    templates.router,
    template_previews.router,
    inbox.router,
    outbox.router,
    settings.router,
    webhook_secret.router,
    event_endpoints.router,
    keys.router,
    tenants.router,
    audit.router,
)

# Outside the API, at the root.
PAGES: tuple[APIRouter, ...] = (
    health.router,
    metrics.router,
    outbox_page.router,
    tracking.router,
)


def create_app(parts: Parts | None = None) -> FastAPI:
    """Without parts it can be looked at (routes, OpenAPI) but answers nothing."""
    app = FastAPI(
        title="Tocsin",
        version=VERSION,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    app.state.parts = parts
    if parts is not None:
        app.state.send_groups = SendGroups(parts)
        app.state.key_uses = KeyUses(parts.database)
        app.state.body_budget = BodyBudget()
        app.state.rate_limits = RateLimits(parts.settings)
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    for page in PAGES:
        app.include_router(page)
    if parts is not None and parts.settings.dev:
        app.add_middleware(LocalPages)
    app.add_middleware(Requests, public_url="" if parts is None else parts.settings.base_url)
    docs.install(app)
    failures.install(app)
    openapi.install(app)
    unguarded = list(without_front_door(app))
    if unguarded:
        raise TypeError(f"these routes have no front door: {', '.join(unguarded)}")
    return app


def operation_id(route: APIRoute) -> str:
    """The function's name: `send_notification` makes a better method of a generated client than the path."""
    return route.name


def without_front_door(app: FastAPI) -> Iterator[str]:
    for route in iter_route_contexts(app.routes):
        if str(route.path).startswith(PREFIX) and not isinstance(route.original_route, FrontDoor):
            yield str(route.path)
