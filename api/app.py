"""Build the FastAPI application from the container that bootstrap opened."""

from collections.abc import Iterator

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from api import docs, error_handlers, openapi
from api.authenticated_route import AuthenticatedRoute
from api.key_uses import KeyUses
from api.limits.body_budget import BodyBudget
from api.limits.rate_limits import RateLimits
from api.limits.upload_slots import UploadSlots
from api.loopback_hosts import LoopbackHostMiddleware
from api.request_middleware import RequestIdMiddleware
from api.routes import (
    attachments,
    audit,
    devices,
    digests,
    event_endpoints,
    explanations,
    failures,
    health,
    inbound_messages,
    inbox,
    keys,
    notification_events,
    notification_types,
    notifications,
    outbox,
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
)
from bootstrap import Container
from web import outbox as outbox_page
from web import push_reports, push_scripts, tracking, unsubscribe

PREFIX = "/api/v1"
VERSION = "1"
DESCRIPTION = "Self-hosted notification infrastructure: every notification is a durable workflow."

# The routers of the API, in the order in which /docs shows them.
ROUTERS: tuple[APIRouter, ...] = (
    sends.router,
    attachments.router,
    notifications.router,
    notification_events.router,
    receipts.router,
    explanations.router,
    redrives.router,
    digests.router,
    failures.router,
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
    inbound_messages.router,
    inbox.router,
    outbox.router,
    settings.router,
    event_endpoints.router,
    keys.router,
    tenants.router,
    audit.router,
)

# Served at the root, outside the API.
PAGES: tuple[APIRouter, ...] = (
    health.router,
    outbox_page.router,
    tracking.router,
    push_reports.router,
    push_scripts.router,
    unsubscribe.router,
)


def create_app(container: Container | None = None) -> FastAPI:
    """Create the application. Without a container it serves only routes and OpenAPI for inspection."""
    app = FastAPI(
        title="Tocsin",
        version=VERSION,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    app.state.container = container
    if container is not None:
        _set_process_state(app, container)
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    for page in PAGES:
        app.include_router(page)
    if container is not None and container.settings.is_dev:
        app.add_middleware(LoopbackHostMiddleware)
    app.add_middleware(RequestIdMiddleware, public_url="" if container is None else container.settings.base_url)
    docs.install(app)
    error_handlers.install(app)
    openapi.install(app)
    if unauthenticated := list(find_unauthenticated_routes(app)):
        raise TypeError(f"these routes have no authentication: {', '.join(unauthenticated)}")
    return app


def _set_process_state(app: FastAPI, container: Container) -> None:
    """Build what the requests of this process share."""
    app.state.send_services = container.build_send_services()
    app.state.key_uses = KeyUses(container.database)
    app.state.body_budget = BodyBudget()
    app.state.rate_limits = RateLimits(container.settings)
    app.state.upload_slots = UploadSlots.of_pool(container.settings.database_pool)


def operation_id(route: APIRoute) -> str:
    """Return the function's name as the operation id, because generated clients use it as the method name."""
    return route.name


def find_unauthenticated_routes(app: FastAPI) -> Iterator[str]:
    for route in iter_route_contexts(app.routes):
        if str(route.path).startswith(PREFIX) and not isinstance(route.original_route, AuthenticatedRoute):
            yield str(route.path)
